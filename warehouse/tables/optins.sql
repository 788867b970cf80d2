CREATE TABLE optins (
    uuid UUID NOT NULL,
    name VARCHAR,
    created_on TIMESTAMPTZ
);

COMMENT ON TABLE optins IS 'What contacts can be asked to agree to: one row per opt-in. The newest servers no longer have them.';
COMMENT ON COLUMN optins.uuid IS 'UUID of the opt-in; the key.';
COMMENT ON COLUMN optins.name IS 'Name of the opt-in.';
COMMENT ON COLUMN optins.created_on IS 'When the opt-in was created (UTC).';
