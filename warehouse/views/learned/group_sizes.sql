-- How many contacts each group has, where that differs from the last day noted. {at} says as of which version.
WITH counted AS (
    SELECT uuid AS group_uuid, getvariable('day') AS day,
        CASE WHEN deleted_on IS NULL THEN coalesce(count, 0) ELSE 0 END AS contacts
    FROM groups {at}
),

last AS (
    SELECT group_uuid, arg_max(contacts, day) AS contacts FROM _group_sizes WHERE day <= getvariable('day')
    GROUP BY group_uuid
)

SELECT counted.*
FROM counted
LEFT JOIN last USING (group_uuid)
WHERE counted.contacts IS DISTINCT FROM last.contacts;
