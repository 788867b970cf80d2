-- One event on a channel as the API writes it; its own extra becomes event_extra. Leaves are text here and get their type
-- below: a value that does not fit its type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE channel_events_record AS STRUCT (
    id VARCHAR,
    type VARCHAR,
    contact STRUCT (uuid VARCHAR, name VARCHAR),
    channel STRUCT (uuid VARCHAR, name VARCHAR),
    extra JSON,
    occurred_on VARCHAR,
    created_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        id := record.id::BIGINT,
        type := record.type,
        contact_uuid := ref_uuid(record.contact),
        contact_name := record.contact.name,
        channel_uuid := ref_uuid(record.channel),
        channel_name := record.channel.name,
        event_extra := record.extra,
        occurred_on := record.occurred_on::TIMESTAMPTZ,
        created_on := record.created_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
