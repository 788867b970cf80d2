CREATE VIEW dim_groups AS
SELECT
    known.uuid AS group_uuid,
    -- The server calls a deleted group deleted-<uuid>-<old name>.
    regexp_replace(known.name, '^deleted-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-(.)', '\2') AS group_name,
    groups.query, groups.count AS contacts, groups.uuid IS NOT NULL AND groups.deleted_on IS NULL AS exists_now
FROM _known_names AS known
LEFT JOIN groups ON groups.uuid = known.uuid
WHERE known.kind = 'group';

COMMENT ON VIEW dim_groups IS
    'Groups by their best known name: one row per group that any row ever referred to.';
COMMENT ON COLUMN dim_groups.group_uuid IS 'UUID of the group; the key.';
COMMENT ON COLUMN dim_groups.group_name IS 'Last name that the group had before it was deleted, if it was.';
COMMENT ON COLUMN dim_groups.query IS 'Search that decides who is in a smart group; null if people are added by hand.';
COMMENT ON COLUMN dim_groups.contacts IS 'Number of contacts, from counters of the server that may drift.';
COMMENT ON COLUMN dim_groups.exists_now IS 'False if the server no longer lists it.';
