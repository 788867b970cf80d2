CREATE TABLE topics (
    uuid UUID NOT NULL,
    name VARCHAR,
    counts_open BIGINT,
    counts_closed BIGINT,
    system BOOLEAN,
    created_on TIMESTAMPTZ
);

COMMENT ON TABLE topics IS 'Topics of tickets: one row per topic.';
COMMENT ON COLUMN topics.uuid IS 'UUID of the topic; the key.';
COMMENT ON COLUMN topics.name IS 'Name of the topic; of a deleted one the last that it had.';
COMMENT ON COLUMN topics.counts_open IS 'Number of its open tickets.';
COMMENT ON COLUMN topics.counts_closed IS 'Number of its closed tickets.';
COMMENT ON COLUMN topics.system IS 'True for the topic that the server made: the default one.';
COMMENT ON COLUMN topics.created_on IS 'When the topic was created (UTC).';
