-- Do people stay?
-- Contacts by the month in which they were created: how many per 100 wrote so many months later.
WITH cohorts AS (
    SELECT uuid AS contact_uuid, date_trunc('month', local_time(created_on)) AS joined
    FROM contacts
    WHERE deleted_on IS NULL
),

heard AS (
    SELECT DISTINCT contact_uuid, date_trunc('month', local_time(created_on)) AS wrote
    FROM messages
    WHERE direction = 'in' AND deleted_on IS NULL
)

SELECT joined::DATE AS joined, date_diff('month', joined, wrote) AS months_later, count(*) AS wrote,
    round(100.0 * count(*) / any_value(size), 1) AS percent_of_cohort
FROM cohorts
JOIN heard USING (contact_uuid)
JOIN (SELECT joined, count(*) AS size FROM cohorts GROUP BY joined) USING (joined)
WHERE wrote >= joined
GROUP BY ALL
ORDER BY ALL;
