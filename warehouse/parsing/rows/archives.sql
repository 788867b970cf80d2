-- One file of archived messages or runs, as the listing has it; its signed URL is not kept. Leaves are text here and get
-- their type below: a value that does not fit its type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE archives_record AS STRUCT (
    type VARCHAR,
    archive_type VARCHAR,
    start_date VARCHAR,
    period VARCHAR,
    record_count VARCHAR,
    size VARCHAR,
    hash VARCHAR,
    download_url VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        archive_type := coalesce(record.archive_type, record.type),
        period := record.period,
        start_date := record.start_date::DATE,
        record_count := record.record_count::BIGINT,
        size := record.size::BIGINT,
        hash := nullif(record.hash, '')
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
