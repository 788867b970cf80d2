-- One opt-in as the API writes it. Leaves are text here and get their type below: a value that does not fit its type makes
-- the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE optins_record AS STRUCT (
    uuid VARCHAR,
    name VARCHAR,
    created_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        uuid := record.uuid::UUID,
        name := record.name,
        created_on := record.created_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
