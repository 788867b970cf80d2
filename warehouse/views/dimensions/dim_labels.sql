CREATE VIEW dim_labels AS
SELECT
    known.uuid AS label_uuid,
    -- The server calls a deleted label deleted-<uuid>-<old name>.
    regexp_replace(known.name, '^deleted-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-(.)', '\2') AS label_name,
    labels.uuid IS NOT NULL AND labels.deleted_on IS NULL AS exists_now
FROM _known_names AS known
LEFT JOIN labels ON labels.uuid = known.uuid
WHERE known.kind = 'label';

COMMENT ON VIEW dim_labels IS
    'Labels by their best known name: one row per label that any row ever referred to.';
COMMENT ON COLUMN dim_labels.label_uuid IS 'UUID of the label; the key.';
COMMENT ON COLUMN dim_labels.label_name IS 'Last name that the label had before it was deleted, if it was.';
COMMENT ON COLUMN dim_labels.exists_now IS 'False if the server no longer lists it.';
