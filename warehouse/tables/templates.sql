CREATE TABLE templates (
    uuid UUID NOT NULL,
    name VARCHAR,
    translations STRUCT (
        language VARCHAR,
        locale VARCHAR,
        content VARCHAR,
        namespace VARCHAR,
        variable_count INTEGER,
        status VARCHAR,
        channel STRUCT (uuid UUID, name VARCHAR)
    )[],
    created_on TIMESTAMPTZ,
    modified_on TIMESTAMPTZ
);

COMMENT ON TABLE templates IS 'Message templates that WhatsApp approves: one row per template. Only older servers list them.';
COMMENT ON COLUMN templates.uuid IS 'UUID of the template; the key.';
COMMENT ON COLUMN templates.name IS 'Name of the template.';
COMMENT ON COLUMN templates.translations IS
    'The template in each language: language, locale, text, namespace, number of variables, status and channel.';
COMMENT ON COLUMN templates.created_on IS 'When the template was created (UTC).';
COMMENT ON COLUMN templates.modified_on IS 'When the template was last changed (UTC).';
