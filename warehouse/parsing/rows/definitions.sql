-- One flow definition, as the definitions of the API hold it. All of it is kept as JSON; the keys below are those known to
-- occur. Leaves are text here and get their type below: a value that does not fit its type makes the row unreadable, and it
-- goes to _quarantine.
CREATE OR REPLACE TEMP TYPE definitions_record AS STRUCT (
    uuid VARCHAR,
    name VARCHAR,
    type VARCHAR,
    spec_version VARCHAR,
    language VARCHAR,
    revision VARCHAR,
    expire_after_minutes VARCHAR,
    localization JSON,
    nodes JSON,
    _ui JSON
);

SELECT
    TRY(STRUCT_PACK(
        uuid := record.uuid::UUID,
        name := record.name,
        type := record.type,
        spec_version := record.spec_version,
        language := record.language,
        revision := record.revision::BIGINT,
        definition := json
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
