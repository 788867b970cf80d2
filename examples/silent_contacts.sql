-- Who has not been heard from for long?
-- Active contacts by how long ago they last wrote or called.
SELECT
    CASE
        WHEN last_seen_on IS NULL THEN 'never'
        WHEN last_seen_on > now() - INTERVAL 30 DAY THEN 'in the last 30 days'
        WHEN last_seen_on > now() - INTERVAL 90 DAY THEN '30 to 90 days ago'
        ELSE 'longer ago'
    END AS last_heard_from,
    count(*) AS contacts
FROM contacts
WHERE deleted_on IS NULL AND status = 'active'
GROUP BY ALL
ORDER BY contacts DESC;
