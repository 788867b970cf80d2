-- One event of a campaign as the API writes it. Leaves are text here and get their type below: a value that does not fit its
-- type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE campaign_events_record AS STRUCT (
    uuid VARCHAR,
    campaign STRUCT (uuid VARCHAR, name VARCHAR),
    relative_to STRUCT (key VARCHAR, name VARCHAR, label VARCHAR),
    "offset" VARCHAR,
    unit VARCHAR,
    delivery_hour VARCHAR,
    flow STRUCT (uuid VARCHAR, name VARCHAR),
    message JSON,
    created_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        uuid := record.uuid::UUID,
        campaign_uuid := ref_uuid(record.campaign),
        campaign_name := record.campaign.name,
        relative_to_key := part(record.relative_to.key, json, 'relative_to', 'key'),
        relative_to_name := record.relative_to.name,
        "offset" := record."offset"::INTEGER,
        unit := record.unit,
        delivery_hour := record.delivery_hour::INTEGER,
        flow_uuid := ref_uuid(record.flow),
        flow_name := record.flow.name,
        message := translations(record.message, NULL::VARCHAR),
        message_default := default_text(record.message, NULL::VARCHAR),
        created_on := record.created_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
