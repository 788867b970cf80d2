-- One flow as the API writes it. Leaves are text here and get their type below: a value that does not fit its type makes the
-- row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE flows_record AS STRUCT (
    uuid VARCHAR,
    name VARCHAR,
    type VARCHAR,
    archived VARCHAR,
    labels STRUCT (uuid VARCHAR, name VARCHAR)[],
    expires VARCHAR,
    runs STRUCT (active VARCHAR, waiting VARCHAR, completed VARCHAR, expired VARCHAR, interrupted VARCHAR, failed VARCHAR),
    results STRUCT (key VARCHAR, name VARCHAR, categories VARCHAR[], node_uuids VARCHAR[])[],
    parent_refs VARCHAR[],
    created_on VARCHAR,
    modified_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        uuid := record.uuid::UUID,
        name := record.name,
        type := record.type,
        archived := record.archived::BOOLEAN,
        labels := refs(record.labels, json, 'labels'),
        expires := record.expires::INTEGER,
        runs_active := part(record.runs.active, json, 'runs', 'active')::BIGINT,
        runs_waiting := record.runs.waiting::BIGINT,
        runs_completed := record.runs.completed::BIGINT,
        runs_expired := record.runs.expired::BIGINT,
        runs_interrupted := record.runs.interrupted::BIGINT,
        runs_failed := record.runs.failed::BIGINT,
        results := CASE
            WHEN understood(record.results, json, 'results')
                AND elements_understood(list_transform(record.results, lambda result: result.key), 'results')
                THEN record.results::STRUCT (key VARCHAR, name VARCHAR, categories VARCHAR[], node_uuids UUID[])[]
        END,
        parent_refs := CASE WHEN understood(record.parent_refs, json, 'parent_refs') THEN record.parent_refs END,
        created_on := record.created_on::TIMESTAMPTZ,
        modified_on := record.modified_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
