-- The workspace as the API writes it; credits, always -1, are not kept. Leaves are text here and get their type below: a
-- value that does not fit its type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE workspace_record AS STRUCT (
    uuid VARCHAR,
    name VARCHAR,
    country VARCHAR,
    languages VARCHAR[],
    timezone VARCHAR,
    date_style VARCHAR,
    anon VARCHAR,
    credits JSON,
    primary_language VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        uuid := record.uuid::UUID,
        name := record.name,
        country := record.country,
        languages := CASE WHEN understood(record.languages, json, 'languages') THEN record.languages END,
        timezone := record.timezone,
        date_style := record.date_style,
        anon := record.anon::BOOLEAN,
        primary_language := record.primary_language
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
