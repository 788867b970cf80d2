CREATE TABLE archives (
    archive_type VARCHAR NOT NULL,
    period VARCHAR NOT NULL,
    start_date DATE NOT NULL,
    record_count BIGINT,
    size BIGINT,
    hash VARCHAR
);

COMMENT ON TABLE archives IS
    'Files of archived messages and runs that the server offers: one row per type, period and start date.';
COMMENT ON COLUMN archives.archive_type IS 'What the file holds: message or run.';
COMMENT ON COLUMN archives.period IS 'How much time the file covers: daily or monthly.';
COMMENT ON COLUMN archives.start_date IS 'First day (UTC) that the file covers; for a monthly file, the first of the month.';
COMMENT ON COLUMN archives.record_count IS 'Number of records in the file when it was written.';
COMMENT ON COLUMN archives.size IS 'Size of the compressed file, in bytes; 0 on newer servers if it is empty.';
COMMENT ON COLUMN archives.hash IS
    'MD5 of the compressed file, in hexadecimal; null if there is no file because the period is empty.';
