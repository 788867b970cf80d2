CREATE VIEW dim_contacts AS
SELECT
    uuid AS contact_uuid,
    name AS contact_name,
    CASE WHEN deleted_on IS NULL THEN status ELSE 'deleted' END AS status,
    language,
    urns[1].scheme AS urn_scheme,
    created_on,
    last_seen_on,
    deleted_on
FROM contacts;

COMMENT ON VIEW dim_contacts IS
    'Contacts, deleted ones too: one row per contact, without addresses and fields.';
COMMENT ON COLUMN dim_contacts.contact_uuid IS 'contacts.uuid; the key.';
COMMENT ON COLUMN dim_contacts.contact_name IS 'Name of the contact; of a deleted one the last.';
COMMENT ON COLUMN dim_contacts.status IS 'active, blocked, stopped, archived or deleted.';
COMMENT ON COLUMN dim_contacts."language" IS 'Language of the contact (ISO 639-3).';
COMMENT ON COLUMN dim_contacts.urn_scheme IS 'Scheme of the address used first: tel, whatsapp ...';
COMMENT ON COLUMN dim_contacts.created_on IS 'When the contact was created (UTC).';
COMMENT ON COLUMN dim_contacts.last_seen_on IS 'When the contact was last heard from (UTC).';
COMMENT ON COLUMN dim_contacts.deleted_on IS 'When the contact was deleted (UTC); null while it exists.';
