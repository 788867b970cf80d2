-- The eight largest groups, by day.
WITH largest AS (
    SELECT group_uuid
    FROM group_sizes
    WHERE day = (SELECT max(day) FROM group_sizes) AND contacts > 0
    ORDER BY contacts DESC, group_uuid
    LIMIT 8
)

SELECT day, group_name AS "group", contacts
FROM group_sizes SEMI JOIN largest USING (group_uuid)
WHERE day > getvariable('today') - 182
ORDER BY day, contacts DESC, "group";
