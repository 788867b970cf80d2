CREATE TABLE channel_events (
    id BIGINT NOT NULL,
    type VARCHAR,
    contact_uuid UUID,
    contact_name VARCHAR,
    channel_uuid UUID,
    channel_name VARCHAR,
    event_extra JSON,
    occurred_on TIMESTAMPTZ,
    created_on TIMESTAMPTZ
);

COMMENT ON TABLE channel_events IS 'What happens on channels besides messages, such as calls: one row per event.';
COMMENT ON COLUMN channel_events.id IS 'Number of the event, unique on the server; the key.';
COMMENT ON COLUMN channel_events.type IS
    'call-in, call-out (or either with -missed), new-conversation, referral, stop-contact, welcome-message, optin ...';
COMMENT ON COLUMN channel_events.contact_uuid IS 'contacts.uuid of the person it happened with.';
COMMENT ON COLUMN channel_events.contact_name IS 'Name of that contact when the event was read; null if the contact has none. dim_contacts has the current one.';
COMMENT ON COLUMN channel_events.channel_uuid IS 'channels.uuid of the channel it happened on.';
COMMENT ON COLUMN channel_events.channel_name IS 'Name of that channel when the event was read. dim_channels has the current one.';
COMMENT ON COLUMN channel_events.event_extra IS
    'More about the event, as JSON, such as the duration of a call; null if there is none. The API calls it extra.';
COMMENT ON COLUMN channel_events.occurred_on IS 'When it happened (UTC).';
COMMENT ON COLUMN channel_events.created_on IS 'When the server took note of it (UTC). Never changes.';
