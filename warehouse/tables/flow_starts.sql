CREATE TABLE flow_starts (
    uuid UUID NOT NULL,
    id BIGINT,
    flow_uuid UUID,
    flow_name VARCHAR,
    status VARCHAR,
    progress_total BIGINT,
    progress_started BIGINT,
    groups STRUCT (uuid UUID, name VARCHAR)[],
    contacts STRUCT (uuid UUID, name VARCHAR)[],
    params JSON,
    restart_participants BOOLEAN,
    exclude_active BOOLEAN,
    created_on TIMESTAMPTZ,
    modified_on TIMESTAMPTZ
);

COMMENT ON TABLE flow_starts IS
    'Starts of a flow by a user or through the API: one row per start. Starts by triggers and other flows are not listed.';
COMMENT ON COLUMN flow_starts.uuid IS 'UUID of the start; the key, to which runs.start_uuid points.';
COMMENT ON COLUMN flow_starts.id IS 'Number of the start, unique on the server.';
COMMENT ON COLUMN flow_starts.flow_uuid IS 'flows.uuid of the flow that was started.';
COMMENT ON COLUMN flow_starts.flow_name IS 'Name of that flow when the start was read. dim_flows has the current one.';
COMMENT ON COLUMN flow_starts.status IS
    'As the server writes it: pending, starting, complete, failed; newer ones: pending, queued, started, completed, failed, interrupted. current_status(status) has one word for complete and completed.';
COMMENT ON COLUMN flow_starts.progress_total IS
    'Number of contacts it is for; null while the server does not know, if there are none, and on older servers.';
COMMENT ON COLUMN flow_starts.progress_started IS 'Number of those contacts that it has reached so far; null on older servers.';
COMMENT ON COLUMN flow_starts.groups IS 'Groups whose members were started, each with groups.uuid and its name when the start was read. dim_groups has the current one.';
COMMENT ON COLUMN flow_starts.contacts IS
    'Contacts that were started directly, each with contacts.uuid and its name when the start was read (null if it has none). dim_contacts has the current one.';
COMMENT ON COLUMN flow_starts.params IS
    'Values handed to the flow, as JSON, which it reads as @trigger.params; null if there are none.';
COMMENT ON COLUMN flow_starts.restart_participants IS 'True if contacts who have been in the flow before were started again.';
COMMENT ON COLUMN flow_starts.exclude_active IS 'True if contacts who were in another flow were left out.';
COMMENT ON COLUMN flow_starts.created_on IS 'When the start was created (UTC).';
COMMENT ON COLUMN flow_starts.modified_on IS 'When the server last changed the start (UTC).';
