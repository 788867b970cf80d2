-- One topic of tickets as the API writes it. Leaves are text here and get their type below: a value that does not fit its
-- type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE topics_record AS STRUCT (
    uuid VARCHAR,
    name VARCHAR,
    counts STRUCT (open VARCHAR, closed VARCHAR),
    system VARCHAR,
    created_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        uuid := record.uuid::UUID,
        name := record.name,
        counts_open := part(record.counts.open, json, 'counts', 'open')::BIGINT,
        counts_closed := record.counts.closed::BIGINT,
        system := record.system::BOOLEAN,
        created_on := record.created_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
