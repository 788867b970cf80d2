-- Where do people answer?
-- Runs of all flows by the contacts' district: how many were started, and in how many the contact answered.
-- Take another field than district, or only one flow: AND runs.flow_name = 'Registration'.
SELECT
    coalesce(split_part(fields['district'], ' > ', -1), 'unknown') AS district, count(*) AS runs,
    round(100.0 * count(*) FILTER (responded) / count(*), 1) AS responded_percent
FROM runs
JOIN contacts ON contacts.uuid = runs.contact_uuid
WHERE runs.deleted_on IS NULL
GROUP BY district
ORDER BY runs DESC;
