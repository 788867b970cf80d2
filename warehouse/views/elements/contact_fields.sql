CREATE VIEW contact_fields AS
SELECT
    contact_uuid,
    contact_name,
    entry.key AS field_key,
    fields.name AS field_name,
    fields.type AS field_type,
    entry.value,
    CASE fields.type WHEN 'number' THEN number_of(entry.value) END AS number,
    CASE fields.type WHEN 'datetime' THEN time_of(entry.value) END AS "time",
    CASE WHEN fields.type IN ('state', 'district', 'ward') THEN string_split(entry.value, ' > ') END AS place
FROM (SELECT uuid AS contact_uuid, name AS contact_name, unnest(map_entries(fields)) AS entry FROM contacts
WHERE deleted_on IS NULL)
-- No key with a zero byte can be looked up in a catalog; no field has one.
LEFT JOIN fields ON fields.key = replace(entry.key, chr(0), ' ') AND fields.deleted_on IS NULL
WHERE entry.value IS NOT NULL;

COMMENT ON VIEW contact_fields IS
    'Values of contacts'' fields: one row per contact and field that has a value.';
COMMENT ON COLUMN contact_fields.contact_uuid IS 'contacts.uuid of the contact.';
COMMENT ON COLUMN contact_fields.contact_name IS 'Name of the contact.';
COMMENT ON COLUMN contact_fields.field_key IS 'fields.key of the field.';
COMMENT ON COLUMN contact_fields.field_name IS 'Name of the field as people see it.';
COMMENT ON COLUMN contact_fields.field_type IS 'text, number, datetime, state, district or ward.';
COMMENT ON COLUMN contact_fields.value IS 'The value as the server writes it.';
COMMENT ON COLUMN contact_fields."number" IS
    'The value of a number field; null for NaN and what is too large. contacts_wide has it without any loss.';
COMMENT ON COLUMN contact_fields."time" IS 'The value of a datetime field (UTC).';
COMMENT ON COLUMN contact_fields.place IS 'The levels of a place, from the country down.';
