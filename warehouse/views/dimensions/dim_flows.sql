CREATE VIEW dim_flows AS
SELECT
    known.uuid AS flow_uuid,
    -- The server calls a deleted flow deleted-<uuid>-<old name>.
    regexp_replace(known.name, '^deleted-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-(.)', '\2') AS flow_name,
    given.name AS results_view, flows.type, flows.archived, flows.uuid IS NOT NULL
    AND flows.deleted_on IS NULL AS exists_now
FROM _known_names AS known
LEFT JOIN flows ON flows.uuid = known.uuid
LEFT JOIN _given_names AS given ON given.scope = 'results' AND given.key = known.uuid::VARCHAR
WHERE known.kind = 'flow';

COMMENT ON VIEW dim_flows IS
    'Flows by their best known name: one row per flow that any row ever referred to.';
COMMENT ON COLUMN dim_flows.flow_uuid IS 'UUID of the flow; the key.';
COMMENT ON COLUMN dim_flows.flow_name IS 'Last name that the flow had before it was deleted, if it was.';
COMMENT ON COLUMN dim_flows.results_view IS 'Name of its view in the schema results.';
COMMENT ON COLUMN dim_flows.type IS 'message, voice, background or survey; null if unknown.';
COMMENT ON COLUMN dim_flows.archived IS 'True if the flow is archived.';
COMMENT ON COLUMN dim_flows.exists_now IS 'False if the server no longer lists it.';
