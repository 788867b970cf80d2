-- Who has never got a message?
-- Contacts that exist and are active, to whom no message ever went out without failing; by month of creation.
SELECT date_trunc('month', local_time(contacts.created_on))::DATE AS created, count(*) AS contacts
FROM contacts
ANTI JOIN (
    SELECT DISTINCT contact_uuid AS uuid FROM messages
    WHERE direction = 'out' AND status NOT IN ('failed', 'errored') AND deleted_on IS NULL
) USING (uuid)
WHERE contacts.deleted_on IS NULL AND contacts.status = 'active'
GROUP BY created
ORDER BY created DESC;
