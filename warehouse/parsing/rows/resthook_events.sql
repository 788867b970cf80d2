-- One call of a resthook as the API writes it. It has no id: the key is made from all it holds. Leaves are text here and get
-- their type below: a value that does not fit its type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE resthook_events_record AS STRUCT (
    resthook VARCHAR,
    data JSON,
    created_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        key := md5(
            record.resthook || ' ' || epoch_us(TRY_CAST(record.created_on AS TIMESTAMPTZ)) || ' ' || coalesce(record.data, 'null')
        ),
        resthook := record.resthook,
        data := record.data,
        created_on := record.created_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
