CREATE TABLE fields (
    key VARCHAR NOT NULL,
    name VARCHAR,
    type VARCHAR,
    featured BOOLEAN,
    priority INTEGER,
    usages_flows BIGINT,
    usages_groups BIGINT,
    usages_campaign_events BIGINT,
    agent_access VARCHAR
);

COMMENT ON TABLE fields IS 'Custom fields that contacts may have: one row per field in use.';
COMMENT ON COLUMN fields.key IS
    'Name of the field in expressions and in contacts.fields; the key. May be used again after deletion.';
COMMENT ON COLUMN fields.name IS 'Name of the field as people see it.';
COMMENT ON COLUMN fields.type IS 'Type of its values: text, number, datetime, state, district or ward.';
COMMENT ON COLUMN fields.featured IS 'True if the field is shown in lists of contacts.';
COMMENT ON COLUMN fields.priority IS 'Place in the order of fields; a higher one comes first.';
COMMENT ON COLUMN fields.usages_flows IS 'Number of flows that use the field; some servers count too many.';
COMMENT ON COLUMN fields.usages_groups IS 'Number of smart groups that use the field; some servers count too many.';
COMMENT ON COLUMN fields.usages_campaign_events IS 'Number of campaign events that use the field; some servers count too many.';
COMMENT ON COLUMN fields.agent_access IS 'What agents may do with the field: none, view or edit.';
