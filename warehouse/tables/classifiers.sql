CREATE TABLE classifiers (
    uuid UUID NOT NULL,
    name VARCHAR,
    type VARCHAR,
    intents VARCHAR[],
    created_on TIMESTAMPTZ
);

COMMENT ON TABLE classifiers IS
    'Services that recognise what a text means: one row per classifier. Only older servers have them.';
COMMENT ON COLUMN classifiers.uuid IS 'UUID of the classifier; the key.';
COMMENT ON COLUMN classifiers.name IS 'Name of the classifier.';
COMMENT ON COLUMN classifiers.type IS 'Service that classifies: wit, luis or bothub.';
COMMENT ON COLUMN classifiers.intents IS 'Names of the intents that the service knows; may be empty.';
COMMENT ON COLUMN classifiers.created_on IS 'When the classifier was created (UTC).';
