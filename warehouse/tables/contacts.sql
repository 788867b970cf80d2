CREATE TABLE contacts (
    uuid UUID NOT NULL,
    name VARCHAR,
    ref VARCHAR,
    anon_display VARCHAR,
    status VARCHAR,
    language VARCHAR,
    urns STRUCT (urn VARCHAR, scheme VARCHAR, path VARCHAR, display VARCHAR)[],
    groups STRUCT (uuid UUID, name VARCHAR)[],
    notes STRUCT (text VARCHAR, created_on TIMESTAMPTZ, created_by_email VARCHAR, created_by_name VARCHAR)[],
    fields MAP(VARCHAR, VARCHAR),
    flow_uuid UUID,
    flow_name VARCHAR,
    created_on TIMESTAMPTZ,
    modified_on TIMESTAMPTZ,
    last_seen_on TIMESTAMPTZ,
    blocked BOOLEAN,
    stopped BOOLEAN
);

COMMENT ON TABLE contacts IS 'People that the workspace talks to: one row per contact, in its latest state. Deleted ones stay.';
COMMENT ON COLUMN contacts.uuid IS 'UUID of the contact; the key.';
COMMENT ON COLUMN contacts.name IS 'Name of the contact; null if it has none.';
COMMENT ON COLUMN contacts.ref IS
    'Short code that stands for the contact in anonymous workspaces of newer servers; null otherwise.';
COMMENT ON COLUMN contacts.anon_display IS
    'Code shown for the contact in anonymous workspaces: the number of the contact on older servers, ref on newer; else null.';
COMMENT ON COLUMN contacts.status IS
    'active, blocked, stopped or archived; null if the contact was deleted before it was first read.';
COMMENT ON COLUMN contacts.language IS 'Language of the contact (ISO 639-3); null if unknown.';
COMMENT ON COLUMN contacts.urns IS
    'Addresses, the one to use first: the URN and its parts. In anonymous workspaces the path is ********.';
COMMENT ON COLUMN contacts.groups IS 'Groups the contact is in, each with groups.uuid and its name when the contact was read. dim_groups has the current one.';
COMMENT ON COLUMN contacts.notes IS
    'Last notes on the contact, at most five: text, when it was written (UTC) and by whom; null on older servers.';
COMMENT ON COLUMN contacts.fields IS 'Values of the custom fields by fields.key, all as text; null where the contact has none.';
COMMENT ON COLUMN contacts.flow_uuid IS 'flows.uuid of the flow the contact is in; null if in none.';
COMMENT ON COLUMN contacts.flow_name IS 'Name of that flow when the contact was read. dim_flows has the current one.';
COMMENT ON COLUMN contacts.created_on IS 'When the contact was created (UTC).';
COMMENT ON COLUMN contacts.modified_on IS
    'When the server last changed the contact (UTC); of a deleted one, when it was deleted.';
COMMENT ON COLUMN contacts.last_seen_on IS
    'When the contact last wrote, called or was otherwise heard from (UTC); null if never.';
COMMENT ON COLUMN contacts.blocked IS 'True if status is blocked; null where status is. Deprecated by the API.';
COMMENT ON COLUMN contacts.stopped IS 'True if status is stopped; null where status is. Deprecated by the API.';
