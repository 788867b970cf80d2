-- Which languages do our groups speak?
-- Contacts by group and language.
SELECT group_name, coalesce(language, 'unknown') AS language, count(*) AS contacts
FROM contact_groups
JOIN dim_contacts USING (contact_uuid)
GROUP BY ALL
ORDER BY group_name, contacts DESC;
