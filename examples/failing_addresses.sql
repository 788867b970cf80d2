-- Which addresses never work?
-- Contacts whose last three messages or more all failed, by scheme; the list itself is one SELECT further.
WITH numbered AS (
    SELECT contact_uuid, urn_scheme, status IN ('failed', 'errored') AS failed,
        row_number() OVER (PARTITION BY contact_uuid ORDER BY created_on DESC) AS number
    FROM messages
    WHERE direction = 'out' AND deleted_on IS NULL
)

SELECT urn_scheme, count(*) AS contacts, count(*) FILTER (all_failed) AS never_reached_lately
FROM (
    SELECT contact_uuid, urn_scheme, bool_and(failed) AND count(*) = 3 AS all_failed
    FROM numbered WHERE number <= 3 GROUP BY contact_uuid, urn_scheme
)
GROUP BY urn_scheme
ORDER BY contacts DESC;
