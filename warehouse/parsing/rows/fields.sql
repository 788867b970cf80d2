-- One custom field as the API writes it; label and value_type repeat name and type. Leaves are text here and get their type
-- below: a value that does not fit its type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE fields_record AS STRUCT (
    key VARCHAR,
    name VARCHAR,
    type VARCHAR,
    featured VARCHAR,
    priority VARCHAR,
    usages STRUCT (flows VARCHAR, groups VARCHAR, campaign_events VARCHAR),
    agent_access VARCHAR,
    label VARCHAR,
    value_type VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        key := record.key,
        name := record.name,
        type := record.type,
        featured := record.featured::BOOLEAN,
        priority := record.priority::INTEGER,
        usages_flows := part(record.usages.flows, json, 'usages', 'flows')::BIGINT,
        usages_groups := record.usages.groups::BIGINT,
        usages_campaign_events := record.usages.campaign_events::BIGINT,
        agent_access := record.agent_access
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
