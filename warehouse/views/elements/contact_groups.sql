CREATE VIEW contact_groups AS
SELECT contact_uuid, contact_name, entry.uuid AS group_uuid, coalesce(dim_groups.group_name, entry.name) AS group_name
FROM (SELECT uuid AS contact_uuid, name AS contact_name, unnest(groups) AS entry FROM contacts WHERE deleted_on IS NULL)
LEFT JOIN dim_groups ON dim_groups.group_uuid = entry.uuid;

COMMENT ON VIEW contact_groups IS
    'Who is in which group: one row per contact and group.';
COMMENT ON COLUMN contact_groups.contact_uuid IS 'contacts.uuid of the contact.';
COMMENT ON COLUMN contact_groups.contact_name IS 'Name of the contact.';
COMMENT ON COLUMN contact_groups.group_uuid IS 'groups.uuid of the group.';
COMMENT ON COLUMN contact_groups.group_name IS 'Best known name of that group.';
