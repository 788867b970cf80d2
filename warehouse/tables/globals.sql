CREATE TABLE globals (
    key VARCHAR NOT NULL,
    name VARCHAR,
    value VARCHAR,
    modified_on TIMESTAMPTZ
);

COMMENT ON TABLE globals IS 'Values that all flows share: one row per global.';
COMMENT ON COLUMN globals.key IS 'Name of the value in expressions, as @globals.key; the key.';
COMMENT ON COLUMN globals.name IS 'Name of the value as people see it.';
COMMENT ON COLUMN globals.value IS 'The value. May be a secret, such as a token.';
COMMENT ON COLUMN globals.modified_on IS 'When the value was last changed (UTC).';
