-- One resthook as the API writes it. Leaves are text here and get their type below: a value that does not fit its type makes
-- the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE resthooks_record AS STRUCT (
    resthook VARCHAR,
    modified_on VARCHAR,
    created_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        resthook := record.resthook,
        created_on := record.created_on::TIMESTAMPTZ,
        modified_on := record.modified_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
