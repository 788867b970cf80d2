CREATE TABLE resthook_events (
    key VARCHAR NOT NULL,
    resthook VARCHAR,
    data JSON,
    created_on TIMESTAMPTZ
);

COMMENT ON TABLE resthook_events IS 'Calls of resthooks: one row per call. The server forgets them after 48 hours.';
COMMENT ON COLUMN resthook_events.key IS 'MD5 of resthook, created_on and data, made here as the server sends no id; the key.';
COMMENT ON COLUMN resthook_events.resthook IS 'resthooks.resthook that was called.';
COMMENT ON COLUMN resthook_events.data IS 'What was sent to the subscribers, as JSON: flow, contact, run, results ...';
COMMENT ON COLUMN resthook_events.created_on IS 'When the resthook was called (UTC).';
