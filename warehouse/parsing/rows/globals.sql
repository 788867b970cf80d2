-- One global value as the API writes it. Leaves are text here and get their type below: a value that does not fit its type
-- makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE globals_record AS STRUCT (
    key VARCHAR,
    name VARCHAR,
    value VARCHAR,
    modified_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        key := record.key,
        name := record.name,
        value := record.value,
        modified_on := record.modified_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
