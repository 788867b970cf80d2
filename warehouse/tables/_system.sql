-- What Rapidlake keeps about the lake itself. Tables that start with an underscore are its own.
CREATE TABLE _lake (
    format INTEGER NOT NULL,
    schema_fingerprint VARCHAR NOT NULL,
    workspace_uuid UUID,
    workspace_name VARCHAR,
    url VARCHAR,
    created_on TIMESTAMPTZ NOT NULL,
    extra_read_with VARCHAR
);

COMMENT ON TABLE _lake IS 'One row: what made this lake, and whose data is in it.';
COMMENT ON COLUMN _lake.format IS 'Format of the lake; a version of Rapidlake refuses lakes of a later format.';
COMMENT ON COLUMN _lake.schema_fingerprint IS 'Digest of the table definitions that were last applied.';
COMMENT ON COLUMN _lake.workspace_uuid IS 'Workspace the rows come from; null before the first sync.';
COMMENT ON COLUMN _lake.workspace_name IS 'Name of that workspace when it was last seen.';
COMMENT ON COLUMN _lake.url IS 'Server the workspace is on.';
COMMENT ON COLUMN _lake.created_on IS 'When the lake was made (UTC).';
COMMENT ON COLUMN _lake.extra_read_with IS
    'Digest of the version that last looked into extra for values of its columns: another one looks again.';

CREATE TABLE _cursor (
    stream VARCHAR NOT NULL,
    feed VARCHAR NOT NULL,
    watermark TIMESTAMPTZ,
    complete_from TIMESTAMPTZ,
    walk_after TIMESTAMPTZ,
    walk_before TIMESTAMPTZ,
    place TIMESTAMPTZ,
    updated_on TIMESTAMPTZ NOT NULL
);

COMMENT ON TABLE _cursor IS 'How far each stream is read. Changes in the same transaction as the rows it speaks of.';
COMMENT ON COLUMN _cursor.stream IS 'Stream, named after its table.';
COMMENT ON COLUMN _cursor.feed IS 'rows: what the stream lists; deleted: its list of deleted rows; whole: last reading of everything; revisit ...: last reading of a recent window again; month ...: a month that is being read whole; fields ..., workspace ...: last reading of everything since fields, or the anonymity of the workspace, are as they are.';
COMMENT ON COLUMN _cursor.watermark IS 'Everything up to this time has been read and committed (UTC).';
COMMENT ON COLUMN _cursor.complete_from IS 'Everything from this time on has been read (UTC); null if from the beginning.';
COMMENT ON COLUMN _cursor.walk_after IS 'Start of the window that is being read (UTC); null if from the beginning, or if no walk is open.';
COMMENT ON COLUMN _cursor.walk_before IS 'End of the window that is being read (UTC); null if no walk is open.';
COMMENT ON COLUMN _cursor.place IS 'Where the open walk goes on (UTC); null if no walk is open.';
COMMENT ON COLUMN _cursor.updated_on IS 'When this row was last written (UTC).';

CREATE TABLE _sync (
    run UUID NOT NULL,
    stream VARCHAR NOT NULL,
    started_on TIMESTAMPTZ NOT NULL,
    seconds DOUBLE NOT NULL,
    requests BIGINT NOT NULL,
    pages BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    rows_read BIGINT NOT NULL,
    rows_new BIGINT NOT NULL,
    rows_changed BIGINT NOT NULL,
    rows_deleted BIGINT NOT NULL,
    rows_quarantined BIGINT NOT NULL,
    waited_seconds DOUBLE NOT NULL,
    outcome VARCHAR NOT NULL,
    message VARCHAR,
    rows_equal BIGINT,
    rows_double BIGINT,
    rows_unreadable BIGINT
);

COMMENT ON TABLE _sync IS 'One row per stream and run of a sync.';
COMMENT ON COLUMN _sync.run IS 'The run; one call of sync.';
COMMENT ON COLUMN _sync.stream IS 'Stream, named after its table.';
COMMENT ON COLUMN _sync.started_on IS 'When its turn came (UTC).';
COMMENT ON COLUMN _sync.seconds IS 'How long it took, waits included.';
COMMENT ON COLUMN _sync.requests IS 'Requests sent, retries included.';
COMMENT ON COLUMN _sync.pages IS 'Pages received.';
COMMENT ON COLUMN _sync.bytes IS 'Bytes received: pages unpacked, archive files as they come.';
COMMENT ON COLUMN _sync.rows_read IS
    'Rows received; rows at the edge of two pages count twice. Of a stream that is done: new, changed, equal, double and unreadable ones together.';
COMMENT ON COLUMN _sync.rows_new IS 'Rows the lake did not have.';
COMMENT ON COLUMN _sync.rows_changed IS 'Rows written again because a value differed.';
COMMENT ON COLUMN _sync.rows_deleted IS 'Rows newly marked as deleted.';
COMMENT ON COLUMN _sync.rows_quarantined IS 'Rows newly put aside as unreadable.';
COMMENT ON COLUMN _sync.waited_seconds IS 'Seconds spent waiting for the rate limit.';
COMMENT ON COLUMN _sync.outcome IS 'done, not offered, skipped, waiting (for the rate limit), stopped, suspicious or failed.';
COMMENT ON COLUMN _sync.message IS 'What happened and what to do; null if there is nothing to say.';
COMMENT ON COLUMN _sync.rows_equal IS 'Rows that were as the lake has them; null in syncs of earlier versions.';
COMMENT ON COLUMN _sync.rows_double IS 'Rows that came more than once in a batch; null in syncs of earlier versions.';
COMMENT ON COLUMN _sync.rows_unreadable IS
    'Rows that could not be read, seen before or not; null in syncs of earlier versions.';

CREATE TABLE _documents (
    stream VARCHAR NOT NULL,
    uuid UUID NOT NULL,
    read_at TIMESTAMPTZ,
    asked_from TIMESTAMPTZ NOT NULL,
    asked_until TIMESTAMPTZ NOT NULL
);

COMMENT ON TABLE _documents IS
    'In which state of its flow each definition was read. Changes in the same transaction as the definitions.';
COMMENT ON COLUMN _documents.stream IS 'Stream, named after its table: definitions.';
COMMENT ON COLUMN _documents.uuid IS 'UUID of the flow, and of its definition.';
COMMENT ON COLUMN _documents.read_at IS
    'flows.modified_on of the flow when its definition was asked for (UTC): it is asked for again once that is another. Null if it was not read.';
COMMENT ON COLUMN _documents.asked_from IS
    'Not before this time was it last asked for (UTC): that makes old servers rewrite old flows, and moves their modified_on.';
COMMENT ON COLUMN _documents.asked_until IS 'Not after this time was it last asked for (UTC).';

CREATE TABLE _quarantine (
    stream VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    seen_on TIMESTAMPTZ NOT NULL,
    key VARCHAR,
    archived_in DATE,
    tombstone BOOLEAN,
    tried_with VARCHAR
);

COMMENT ON TABLE _quarantine IS
    'Rows that could not be read, whole, with the reason, until they can be: nothing is lost, nothing is guessed.';
COMMENT ON COLUMN _quarantine.stream IS 'Stream the row came from.';
COMMENT ON COLUMN _quarantine.digest IS 'MD5 of the record, so that a row read again stands here once.';
COMMENT ON COLUMN _quarantine.reason IS 'What does not fit; it holds no value of the row.';
COMMENT ON COLUMN _quarantine.record IS 'The row as the server sent it; a byte that is no text is written \xff.';
COMMENT ON COLUMN _quarantine.source IS 'api or archive.';
COMMENT ON COLUMN _quarantine.seen_on IS 'When it was first read (UTC).';
COMMENT ON COLUMN _quarantine.key IS
    'Key of the row in its table, as text: once it comes in a form that can be read, this one leaves. Null if it has none.';
COMMENT ON COLUMN _quarantine.archived_in IS 'First day of the archive file it came in; null for rows of the API.';
COMMENT ON COLUMN _quarantine.tombstone IS 'True if it came in the server''s list of deleted rows.';
COMMENT ON COLUMN _quarantine.tried_with IS 'Digest of the version that last tried to read it: another one tries again.';

CREATE TABLE _drift (
    stream VARCHAR NOT NULL,
    key VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    first_seen_on TIMESTAMPTZ NOT NULL
);

COMMENT ON TABLE _drift IS 'Where the server and this version of Rapidlake differ in the keys of a row.';
COMMENT ON COLUMN _drift.stream IS 'Stream the key belongs to.';
COMMENT ON COLUMN _drift.key IS
    'The key in the JSON of a row, with its place, as contact.ref: [] is each element of a list, * each key of a dictionary.';
COMMENT ON COLUMN _drift.kind IS 'unknown: sent, has no column, is kept in extra. missing: has a column, was not sent by this server.';
COMMENT ON COLUMN _drift.first_seen_on IS 'When this was first noticed (UTC).';

CREATE TABLE _archives (
    archive_type VARCHAR NOT NULL,
    period VARCHAR NOT NULL,
    start_date DATE NOT NULL,
    hash VARCHAR,
    size BIGINT,
    record_count BIGINT NOT NULL,
    rows BIGINT NOT NULL,
    unreadable BIGINT NOT NULL,
    origin VARCHAR NOT NULL,
    loaded_on TIMESTAMPTZ NOT NULL,
    settled BOOLEAN,
    read_again BOOLEAN
);

COMMENT ON TABLE _archives IS
    'Archive files that are in the lake. Written with their last rows, after size, MD5 and number of records were proven.';
COMMENT ON COLUMN _archives.archive_type IS 'What the file holds: message or run.';
COMMENT ON COLUMN _archives.period IS 'How much time it covers: daily or monthly.';
COMMENT ON COLUMN _archives.start_date IS 'First day (UTC) it covers.';
COMMENT ON COLUMN _archives.hash IS
    'MD5 of the compressed file that was loaded; another one at the server means another file.';
COMMENT ON COLUMN _archives.size IS 'Size of the compressed file, in bytes.';
COMMENT ON COLUMN _archives.record_count IS 'Records in the file.';
COMMENT ON COLUMN _archives.rows IS
    'Rows whose archived_in is of it: its records less unreadable ones and those that a later file has too.';
COMMENT ON COLUMN _archives.unreadable IS 'Records of it that are in _quarantine.';
COMMENT ON COLUMN _archives.origin IS
    'file: downloaded. daily files: a monthly file with the records of the daily files loaded before, which it replaced.';
COMMENT ON COLUMN _archives.loaded_on IS 'When it was loaded (UTC).';
COMMENT ON COLUMN _archives.settled IS
    'False until rows of its time that no file has were asked for; null, as true, in files loaded by earlier versions.';
COMMENT ON COLUMN _archives.read_again IS
    'True if it is in the lake, and to be read again: a row of another file that was written anew may be in it too.';

CREATE TABLE _verification (
    run UUID NOT NULL,
    verified_on TIMESTAMPTZ NOT NULL,
    stream VARCHAR NOT NULL,
    month DATE,
    compared BIGINT NOT NULL,
    missing BIGINT NOT NULL,
    stale BIGINT NOT NULL,
    double BIGINT NOT NULL,
    alive BIGINT NOT NULL,
    unarchived BIGINT NOT NULL,
    pending BIGINT NOT NULL,
    examples VARCHAR[] NOT NULL,
    unreadable BIGINT,
    repaired BIGINT
);

COMMENT ON TABLE _verification IS 'What each `rapidlake verify` found: one row per stream and month.';
COMMENT ON COLUMN _verification.run IS 'One verification; the rows of one have the same.';
COMMENT ON COLUMN _verification.verified_on IS 'When (UTC).';
COMMENT ON COLUMN _verification.stream IS 'Stream, named after its table.';
COMMENT ON COLUMN _verification.month IS 'First day of the month of the rows, by the date that the stream is read by; null if it has none.';
COMMENT ON COLUMN _verification.compared IS 'Rows of the server, or records of archive files, held against the lake.';
COMMENT ON COLUMN _verification.missing IS 'Rows the server has and the lake has not.';
COMMENT ON COLUMN _verification.stale IS 'Rows that differ in a value.';
COMMENT ON COLUMN _verification.double IS 'Keys that stand more than once in the lake.';
COMMENT ON COLUMN _verification.alive IS 'Rows the server no longer has, not marked deleted in the lake.';
COMMENT ON COLUMN _verification.unarchived IS 'Records of archive files that are not in the lake.';
COMMENT ON COLUMN _verification.unreadable IS
    'Rows that cannot be read, and are in _quarantine at best; null in verifications of earlier versions.';
COMMENT ON COLUMN _verification.pending IS 'Rows that changed after the last sync; no difference.';
COMMENT ON COLUMN _verification.examples IS 'Up to ten of the differences: what, and which key.';
COMMENT ON COLUMN _verification.repaired IS 'How many of the differences were mended; null in verifications of earlier versions.';

CREATE TABLE _proven (
    stream VARCHAR NOT NULL,
    first_day DATE,
    last_day DATE,
    proven_on TIMESTAMPTZ NOT NULL,
    rows BIGINT NOT NULL
);

COMMENT ON TABLE _proven IS
    'When what the server lists was last held against the lake and found the same, or mended: days of streams that are read by date, others whole.';
COMMENT ON COLUMN _proven.stream IS 'Stream, named after its table.';
COMMENT ON COLUMN _proven.first_day IS
    'First day (UTC), by the date that the stream is read by; null for all time before, and for streams that are read whole.';
COMMENT ON COLUMN _proven.last_day IS 'Last day (UTC), included; null for streams that are read whole.';
COMMENT ON COLUMN _proven.proven_on IS 'When they were last proven (UTC).';
COMMENT ON COLUMN _proven.rows IS 'Rows that the server listed of them then.';
