CREATE TABLE runs (
    uuid UUID NOT NULL,
    id BIGINT,
    flow_uuid UUID,
    flow_name VARCHAR,
    contact_uuid UUID,
    contact_name VARCHAR,
    contact_urn VARCHAR,
    contact_urn_scheme VARCHAR,
    contact_urn_path VARCHAR,
    contact_urn_display VARCHAR,
    contact_anon_display VARCHAR,
    contact_ref VARCHAR,
    start_uuid UUID,
    responded BOOLEAN,
    path STRUCT (node UUID, "time" TIMESTAMPTZ)[],
    results MAP(VARCHAR, STRUCT (value VARCHAR, category VARCHAR, name VARCHAR, input VARCHAR, node UUID, "time" TIMESTAMPTZ)),
    events JSON,
    submitted_by VARCHAR,
    created_on TIMESTAMPTZ NOT NULL,
    modified_on TIMESTAMPTZ,
    exited_on TIMESTAMPTZ,
    exit_type VARCHAR,
    archived_in DATE
);

ALTER TABLE runs SET PARTITIONED BY (year(created_on), month(created_on));

COMMENT ON TABLE runs IS 'Runs: one row per time that a contact went through a flow, in its latest state.';
COMMENT ON COLUMN runs.uuid IS 'UUID of the run; the key. Only known by the id, in hexadecimal after zeros, for runs that archives from before October 2018 alone have.';
COMMENT ON COLUMN runs.id IS 'Number of the run, unique on the server.';
COMMENT ON COLUMN runs.flow_uuid IS 'flows.uuid of the flow; may be one since deleted, which flows does not have.';
COMMENT ON COLUMN runs.flow_name IS 'Name of that flow when the run was read, or archived. dim_flows has the current one.';
COMMENT ON COLUMN runs.contact_uuid IS 'contacts.uuid of the person who went through the flow.';
COMMENT ON COLUMN runs.contact_name IS 'Name of that contact when the run was read, or archived; null if the contact has none. dim_contacts has the current one.';
COMMENT ON COLUMN runs.contact_urn IS
    'First address of the contact when the run was read, not the one used; null if there is none, and in archives.';
COMMENT ON COLUMN runs.contact_urn_scheme IS 'Scheme of contact_urn: tel, whatsapp, telegram, facebook ...';
COMMENT ON COLUMN runs.contact_urn_path IS
    'Path of contact_urn, unescaped: the number or account; ******** in anonymous workspaces.';
COMMENT ON COLUMN runs.contact_urn_display IS
    'The address as the server shows it to people, such as a number in its national form; null where contact_urn is.';
COMMENT ON COLUMN runs.contact_anon_display IS
    'Code shown for the contact in anonymous workspaces; null otherwise, and in archives.';
COMMENT ON COLUMN runs.contact_ref IS 'contacts.ref in anonymous workspaces of newer servers; null otherwise, and in archives.';
COMMENT ON COLUMN runs.start_uuid IS
    'flow_starts.uuid of the start it came from; null if there was none, and in archives. Not every start is listed.';
COMMENT ON COLUMN runs.responded IS 'True if the contact answered at least once.';
COMMENT ON COLUMN runs.path IS
    'Steps in order: UUID of the node of the flow and when the run came to it (UTC); null if not asked for. Archives keep 500.';
COMMENT ON COLUMN runs.results IS
    'Results by flows.results key: value, category, name, input (what was written; older servers), node, and when set (UTC).';
COMMENT ON COLUMN runs.events IS 'Events of the run, as JSON; only archives of old servers have them.';
COMMENT ON COLUMN runs.submitted_by IS 'User who sent it in from the Surveyor app; only archives of older servers have it.';
COMMENT ON COLUMN runs.created_on IS 'When the run began (UTC). Never changes; the table is partitioned by its year and month.';
COMMENT ON COLUMN runs.modified_on IS 'When the server last changed the run (UTC).';
COMMENT ON COLUMN runs.exited_on IS 'When the run ended (UTC); null while it goes on.';
COMMENT ON COLUMN runs.exit_type IS 'How the run ended: completed, interrupted, expired or failed; null while it goes on.';
COMMENT ON COLUMN runs.archived_in IS 'First day of the archive file that has the run (a daily file, or its month''s); null while none has it.';
