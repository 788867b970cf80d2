-- Do women and men answer differently?
-- Each contact's last answers, by category and by a field of the contact. Take another field than gender.
SELECT latest_results.flow_name, result_name, category, coalesce(fields['gender'], 'unknown') AS gender, count(*) AS contacts
FROM latest_results
JOIN contacts ON contacts.uuid = latest_results.contact_uuid
WHERE category IS NOT NULL
GROUP BY ALL
ORDER BY latest_results.flow_name, result_name, gender, contacts DESC;
