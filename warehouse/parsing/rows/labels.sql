-- One label of messages as the API writes it. Leaves are text here and get their type below: a value that does not fit its
-- type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE labels_record AS STRUCT (
    uuid VARCHAR,
    name VARCHAR,
    count VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        uuid := record.uuid::UUID,
        name := record.name,
        count := record.count::BIGINT
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
