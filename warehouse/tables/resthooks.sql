CREATE TABLE resthooks (
    resthook VARCHAR NOT NULL,
    created_on TIMESTAMPTZ,
    modified_on TIMESTAMPTZ
);

COMMENT ON TABLE resthooks IS 'Resthooks, which flows call to notify subscribers: one row per resthook in use.';
COMMENT ON COLUMN resthooks.resthook IS 'Name of the resthook, in lower case; the key. May be used again after deletion.';
COMMENT ON COLUMN resthooks.created_on IS 'When the resthook was created (UTC).';
COMMENT ON COLUMN resthooks.modified_on IS 'When a subscriber was last added or removed (UTC).';
