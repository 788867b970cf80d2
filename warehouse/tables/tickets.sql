CREATE TABLE tickets (
    uuid UUID NOT NULL,
    contact_uuid UUID,
    contact_name VARCHAR,
    status VARCHAR,
    topic_uuid UUID,
    topic_name VARCHAR,
    body VARCHAR,
    assignee_email VARCHAR,
    assignee_name VARCHAR,
    opened_on TIMESTAMPTZ,
    opened_by_email VARCHAR,
    opened_by_name VARCHAR,
    opened_in_uuid UUID,
    opened_in_name VARCHAR,
    modified_on TIMESTAMPTZ,
    closed_on TIMESTAMPTZ
);

COMMENT ON TABLE tickets IS 'Tickets: one row per conversation that was handed to a person, in its latest state.';
COMMENT ON COLUMN tickets.uuid IS 'UUID of the ticket; the key.';
COMMENT ON COLUMN tickets.contact_uuid IS 'contacts.uuid of the person it is about.';
COMMENT ON COLUMN tickets.contact_name IS 'Name of that contact when the ticket was read; null if the contact has none. dim_contacts has the current one.';
COMMENT ON COLUMN tickets.status IS 'open or closed.';
COMMENT ON COLUMN tickets.topic_uuid IS 'topics.uuid of its topic.';
COMMENT ON COLUMN tickets.topic_name IS 'Name of that topic when the ticket was read. dim_topics has the current one.';
COMMENT ON COLUMN tickets.body IS 'What the ticket was opened with; always null on newer servers.';
COMMENT ON COLUMN tickets.assignee_email IS 'users.email of the person it is assigned to; null if it is assigned to nobody.';
COMMENT ON COLUMN tickets.assignee_name IS 'Name of that person when the ticket was read. users has the current one.';
COMMENT ON COLUMN tickets.opened_on IS 'When the ticket was opened (UTC).';
COMMENT ON COLUMN tickets.opened_by_email IS 'users.email of the person who opened it; null if a flow did.';
COMMENT ON COLUMN tickets.opened_by_name IS 'Name of that person when the ticket was read. users has the current one.';
COMMENT ON COLUMN tickets.opened_in_uuid IS 'flows.uuid of the flow that opened it; null if a person did.';
COMMENT ON COLUMN tickets.opened_in_name IS 'Name of that flow when the ticket was read. dim_flows has the current one.';
COMMENT ON COLUMN tickets.modified_on IS 'When it was last assigned, moved to a topic, closed or opened again (UTC).';
COMMENT ON COLUMN tickets.closed_on IS 'When the ticket was closed (UTC); null while it is open, also if it was opened again.';
