-- One subscriber of a resthook as the API writes it. Leaves are text here and get their type below: a value that does not
-- fit its type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE resthook_subscribers_record AS STRUCT (
    id VARCHAR,
    resthook VARCHAR,
    target_url VARCHAR,
    created_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        id := record.id::BIGINT,
        resthook := record.resthook,
        target_url := record.target_url,
        created_on := record.created_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
