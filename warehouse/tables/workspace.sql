CREATE TABLE workspace (
    uuid UUID NOT NULL,
    name VARCHAR,
    country VARCHAR,
    languages VARCHAR[],
    timezone VARCHAR,
    date_style VARCHAR,
    anon BOOLEAN,
    primary_language VARCHAR
);

COMMENT ON TABLE workspace IS 'The workspace itself: one row.';
COMMENT ON COLUMN workspace.uuid IS 'UUID of the workspace; the key.';
COMMENT ON COLUMN workspace.name IS 'Name of the workspace.';
COMMENT ON COLUMN workspace.country IS 'Country (ISO 3166, two letters); empty if it has none.';
COMMENT ON COLUMN workspace.languages IS 'Languages of its flows (ISO 639-3), the first one first.';
COMMENT ON COLUMN workspace.timezone IS
    'Time zone by its IANA name, such as Africa/Kigali; values of datetime fields carry its offset.';
COMMENT ON COLUMN workspace.date_style IS 'How dates are written: day_first, month_first or year_first.';
COMMENT ON COLUMN workspace.anon IS 'True if the workspace is anonymous: addresses of contacts are hidden.';
COMMENT ON COLUMN workspace.primary_language IS 'The first of languages. Deprecated by the API.';
