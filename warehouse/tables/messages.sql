CREATE TABLE messages (
    id BIGINT,
    uuid UUID,
    broadcast BIGINT,
    contact_uuid UUID,
    contact_name VARCHAR,
    urn VARCHAR,
    urn_scheme VARCHAR,
    urn_path VARCHAR,
    urn_display VARCHAR,
    channel_uuid UUID,
    channel_name VARCHAR,
    direction VARCHAR,
    type VARCHAR,
    status VARCHAR,
    visibility VARCHAR,
    archived BOOLEAN,
    text VARCHAR,
    labels STRUCT (uuid UUID, name VARCHAR)[],
    flow_uuid UUID,
    flow_name VARCHAR,
    ticket_uuid UUID,
    attachments STRUCT (content_type VARCHAR, url VARCHAR)[],
    quick_replies JSON,
    media VARCHAR,
    created_on TIMESTAMPTZ NOT NULL,
    sent_on TIMESTAMPTZ,
    modified_on TIMESTAMPTZ,
    archived_in DATE
);

ALTER TABLE messages SET PARTITIONED BY (year(created_on), month(created_on));

COMMENT ON TABLE messages IS 'Messages sent to and received from contacts: one row per message, in its latest state.';
COMMENT ON COLUMN messages.id IS 'Number of the message, unique in the workspace; the key, shared by API and archives. Null where no server and no archive named one: uuid is the key then.';
COMMENT ON COLUMN messages.uuid IS 'UUID of the message; only newer servers send it. Archives that were filled in later have invented ones: the API''s stays.';
COMMENT ON COLUMN messages.broadcast IS 'broadcasts.id of the broadcast that sent it; null for all other messages, and where the server sends no ids.';
COMMENT ON COLUMN messages.contact_uuid IS 'contacts.uuid of the person written to, or writing.';
COMMENT ON COLUMN messages.contact_name IS 'Name of that contact when the message was read; null if the contact has none. dim_contacts has the current one.';
COMMENT ON COLUMN messages.urn IS 'Address the message went to or came from, as the server writes it: scheme:path, with #display where one is known; null in anonymous workspaces.';
COMMENT ON COLUMN messages.urn_scheme IS 'Scheme of urn: tel, whatsapp, telegram, facebook ...';
COMMENT ON COLUMN messages.urn_path IS 'Path of urn, unescaped: the number or account. Compare addresses on scheme and path.';
COMMENT ON COLUMN messages.urn_display IS 'Display part of urn, unescaped: a user name; null if there is none.';
COMMENT ON COLUMN messages.channel_uuid IS 'channels.uuid it was sent or received through; null if there was no channel.';
COMMENT ON COLUMN messages.channel_name IS 'Name of that channel when the message was read. dim_channels has the current one.';
COMMENT ON COLUMN messages.direction IS 'in (from the contact) or out (to the contact).';
COMMENT ON COLUMN messages.type IS 'text, optin or voice. The older names inbox, flow and ivr, which old archives have, are read as text, text and voice.';
COMMENT ON COLUMN messages.status IS 'in: handled. out: queued, wired, sent, delivered, read, errored or failed. Old archives also have resent, some initializing.';
COMMENT ON COLUMN messages.visibility IS 'visible or archived.';
COMMENT ON COLUMN messages.archived IS 'True if visibility is archived; kept because the API sends both.';
COMMENT ON COLUMN messages.text IS 'What was written; may be empty.';
COMMENT ON COLUMN messages.labels IS 'Labels an incoming message carries, each with labels.uuid and its name when the message was read; empty for outgoing ones. dim_labels has the current name.';
COMMENT ON COLUMN messages.flow_uuid IS 'flows.uuid of the flow that sent or received it; null outside flows.';
COMMENT ON COLUMN messages.flow_name IS 'Name of that flow when the message was read. dim_flows has the current one.';
COMMENT ON COLUMN messages.ticket_uuid IS 'tickets.uuid of the ticket it was sent in; null outside tickets. Only archives of newer servers have it.';
COMMENT ON COLUMN messages.attachments IS 'Attachments, each with its content type (a MIME type, or geo, image, audio, video, unavailable) and URL or coordinates.';
COMMENT ON COLUMN messages.quick_replies IS 'Quick replies offered, as JSON; only newer servers send them, archives do not.';
COMMENT ON COLUMN messages.media IS 'First attachment as type:url; deprecated by the API.';
COMMENT ON COLUMN messages.created_on IS 'When it was written or received (UTC). Never changes; the table is partitioned by its year and month.';
COMMENT ON COLUMN messages.sent_on IS 'When it was handed to the channel (UTC); null until then.';
COMMENT ON COLUMN messages.modified_on IS 'When the server last changed it (UTC). Not moved by every change.';
COMMENT ON COLUMN messages.archived_in IS 'First day of the archive file that has the message (a daily file, or its month''s); null while none has it.';
