CREATE TABLE labels (
    uuid UUID NOT NULL,
    name VARCHAR,
    count BIGINT
);

COMMENT ON TABLE labels IS 'Labels that incoming messages may carry: one row per label.';
COMMENT ON COLUMN labels.uuid IS 'UUID of the label; the key.';
COMMENT ON COLUMN labels.name IS 'Name of the label.';
COMMENT ON COLUMN labels.count IS 'Number of messages that carry the label, archived ones (visibility) left out.';
