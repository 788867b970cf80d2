CREATE TABLE broadcasts (
    id BIGINT,
    uuid UUID,
    status VARCHAR,
    progress_total BIGINT,
    progress_started BIGINT,
    urns STRUCT (urn VARCHAR, scheme VARCHAR, path VARCHAR, display VARCHAR)[],
    contacts STRUCT (uuid UUID, name VARCHAR)[],
    groups STRUCT (uuid UUID, name VARCHAR)[],
    text MAP(VARCHAR, VARCHAR),
    text_default VARCHAR,
    attachments MAP(VARCHAR, VARCHAR[]),
    quick_replies JSON,
    base_language VARCHAR,
    created_on TIMESTAMPTZ
);

COMMENT ON TABLE broadcasts IS
    'Messages sent to many contacts at once: one row per broadcast. A scheduled one appears each time it is sent.';
COMMENT ON COLUMN broadcasts.id IS
    'Number of the broadcast, unique in the workspace; the key, to which messages.broadcast points. Null where no server named one: uuid is the key then.';
COMMENT ON COLUMN broadcasts.uuid IS 'UUID of the broadcast; only newer servers send it.';
COMMENT ON COLUMN broadcasts.status IS
    'As the server writes it: queued, sent, failed; newer ones: pending, queued, started, completed, failed, interrupted. current_status(status) has one word for sent and completed.';
COMMENT ON COLUMN broadcasts.progress_total IS
    'Number of contacts it is for; null while the server does not know, if there are none, and on older servers.';
COMMENT ON COLUMN broadcasts.progress_started IS 'Number of those contacts that it has reached so far; null on older servers.';
COMMENT ON COLUMN broadcasts.urns IS
    'Addresses it was sent to directly: the URN as the server writes it and its parts; null in anonymous workspaces.';
COMMENT ON COLUMN broadcasts.contacts IS
    'Contacts it was sent to directly, each with contacts.uuid and its name when the broadcast was read (null if it has none); deleted ones drop out. dim_contacts has the current name.';
COMMENT ON COLUMN broadcasts.groups IS 'Groups it was sent to, each with groups.uuid and its name when the broadcast was read. dim_groups has the current one.';
COMMENT ON COLUMN broadcasts.text IS
    'What was sent, by language (ISO 639-3, or und); a text is null if that language has attachments only.';
COMMENT ON COLUMN broadcasts.text_default IS
    'One of text: the base language, else the first of the workspace''s languages that has one, else any.';
COMMENT ON COLUMN broadcasts.attachments IS
    'Attachments by language, each written as type:url; an empty list if a language has none.';
COMMENT ON COLUMN broadcasts.quick_replies IS 'Quick replies by language, as JSON; null on older servers.';
COMMENT ON COLUMN broadcasts.base_language IS 'Language to fall back on (ISO 639-3, or und).';
COMMENT ON COLUMN broadcasts.created_on IS 'When the broadcast was created (UTC).';
