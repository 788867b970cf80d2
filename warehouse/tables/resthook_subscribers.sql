CREATE TABLE resthook_subscribers (
    id BIGINT NOT NULL,
    resthook VARCHAR,
    target_url VARCHAR,
    created_on TIMESTAMPTZ
);

COMMENT ON TABLE resthook_subscribers IS 'Who is told of a resthook: one row per subscriber.';
COMMENT ON COLUMN resthook_subscribers.id IS 'Number of the subscriber, unique on the server; the key.';
COMMENT ON COLUMN resthook_subscribers.resthook IS 'resthooks.resthook it listens to.';
COMMENT ON COLUMN resthook_subscribers.target_url IS 'URL that is called. May hold a secret.';
COMMENT ON COLUMN resthook_subscribers.created_on IS 'When the subscription was created (UTC).';
