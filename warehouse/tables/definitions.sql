CREATE TABLE definitions (
    uuid UUID NOT NULL,
    name VARCHAR,
    type VARCHAR,
    spec_version VARCHAR,
    language VARCHAR,
    revision BIGINT,
    definition JSON
);

COMMENT ON TABLE definitions IS 'What flows are made of: one row per flow, with its latest definition.';
COMMENT ON COLUMN definitions.uuid IS 'flows.uuid of the flow; the key.';
COMMENT ON COLUMN definitions.name IS 'Name of the flow when the definition was read.';
COMMENT ON COLUMN definitions.type IS
    'messaging, voice, messaging_background or messaging_offline; other words than in flows.type.';
COMMENT ON COLUMN definitions.spec_version IS 'Version of the language that the definition is written in, such as 13.2.0.';
COMMENT ON COLUMN definitions.language IS 'Base language of the flow (ISO 639-3, or und); other languages stand in localization.';
COMMENT ON COLUMN definitions.revision IS 'Number of the revision; it grows with each change.';
COMMENT ON COLUMN definitions.definition IS
    'The whole definition, as JSON: nodes, actions, routers, translations, and where they stand on the canvas.';
