CREATE VIEW contact_urns AS
SELECT contact_uuid, contact_name, number, entry.urn, entry.scheme, entry.path, entry.display
FROM (
    SELECT uuid AS contact_uuid, name AS contact_name, unnest(urns) AS entry, unnest(range(1, len(urns) + 1)) AS number
    FROM contacts WHERE deleted_on IS NULL
);

COMMENT ON VIEW contact_urns IS
    'Addresses of contacts: one row per contact and address.';
COMMENT ON COLUMN contact_urns.contact_uuid IS 'contacts.uuid of the contact.';
COMMENT ON COLUMN contact_urns.contact_name IS 'Name of the contact.';
COMMENT ON COLUMN contact_urns."number" IS '1 for the address to use first.';
COMMENT ON COLUMN contact_urns.urn IS 'The address as the server writes it: scheme:path.';
COMMENT ON COLUMN contact_urns.scheme IS 'tel, whatsapp, telegram ...';
COMMENT ON COLUMN contact_urns.path IS 'The number or account, unescaped.';
COMMENT ON COLUMN contact_urns.display IS 'User name, where one is known.';
