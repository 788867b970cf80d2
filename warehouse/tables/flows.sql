CREATE TABLE flows (
    uuid UUID NOT NULL,
    name VARCHAR,
    type VARCHAR,
    archived BOOLEAN,
    labels STRUCT (uuid UUID, name VARCHAR)[],
    expires INTEGER,
    runs_active BIGINT,
    runs_waiting BIGINT,
    runs_completed BIGINT,
    runs_expired BIGINT,
    runs_interrupted BIGINT,
    runs_failed BIGINT,
    results STRUCT (key VARCHAR, name VARCHAR, categories VARCHAR[], node_uuids UUID[])[],
    parent_refs VARCHAR[],
    created_on TIMESTAMPTZ,
    modified_on TIMESTAMPTZ
);

COMMENT ON TABLE flows IS 'Flows: one row per flow that is not deleted. Runs may name flows since deleted.';
COMMENT ON COLUMN flows.uuid IS 'UUID of the flow; the key.';
COMMENT ON COLUMN flows.name IS 'Name of the flow.';
COMMENT ON COLUMN flows.type IS 'message, voice, background or survey; null for kinds the server no longer knows.';
COMMENT ON COLUMN flows.archived IS 'True if the flow is archived.';
COMMENT ON COLUMN flows.labels IS 'Labels of the flow, each with its UUID and name. They are not those of messages.';
COMMENT ON COLUMN flows.expires IS 'Minutes of silence after which a run expires; 0 for background and survey flows.';
COMMENT ON COLUMN flows.runs_active IS 'Number of runs that are active, since the flow exists, archived ones included.';
COMMENT ON COLUMN flows.runs_waiting IS
    'Number of runs that wait for the contact, since the flow exists, archived ones included.';
COMMENT ON COLUMN flows.runs_completed IS 'Number of runs that reached the end, since the flow exists, archived ones included.';
COMMENT ON COLUMN flows.runs_expired IS 'Number of runs that expired, since the flow exists, archived ones included.';
COMMENT ON COLUMN flows.runs_interrupted IS
    'Number of runs that were interrupted, since the flow exists, archived ones included.';
COMMENT ON COLUMN flows.runs_failed IS 'Number of runs that failed, since the flow exists, archived ones included.';
COMMENT ON COLUMN flows.results IS
    'Results that the flow collects: key in runs.results, name, categories it may have, and UUIDs of the nodes that set it.';
COMMENT ON COLUMN flows.parent_refs IS 'Keys of results that the flow reads from the flow that started it.';
COMMENT ON COLUMN flows.created_on IS 'When the flow was created (UTC).';
COMMENT ON COLUMN flows.modified_on IS 'When the flow was last changed (UTC). New runs and changed labels do not move it.';
