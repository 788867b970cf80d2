-- One start of a flow as the API writes it; extra always repeats params. Leaves are text here and get their type below: a
-- value that does not fit its type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE flow_starts_record AS STRUCT (
    id VARCHAR,
    uuid VARCHAR,
    flow STRUCT (uuid VARCHAR, name VARCHAR),
    status VARCHAR,
    progress STRUCT (total VARCHAR, started VARCHAR),
    groups STRUCT (uuid VARCHAR, name VARCHAR)[],
    contacts STRUCT (uuid VARCHAR, name VARCHAR)[],
    params JSON,
    extra JSON,
    restart_participants VARCHAR,
    exclude_active JSON,
    created_on VARCHAR,
    modified_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        uuid := record.uuid::UUID,
        id := record.id::BIGINT,
        flow_uuid := ref_uuid(record.flow),
        flow_name := record.flow.name,
        status := record.status,
        progress_total := CASE
            WHEN record.progress.total IS DISTINCT FROM '-1'
                THEN part(record.progress.total, json, 'progress', 'total')::BIGINT
        END,
        progress_started := record.progress.started::BIGINT,
        groups := refs(record.groups, json, 'groups'),
        contacts := refs(record.contacts, json, 'contacts'),
        params := record.params,
        restart_participants := record.restart_participants::BOOLEAN,
        exclude_active := CASE
            WHEN json_type(json, '/exclude_active') = 'NULL' OR record.exclude_active = '{}' THEN false
            ELSE (record.exclude_active ->> '$')::BOOLEAN
        END,
        created_on := record.created_on::TIMESTAMPTZ,
        modified_on := record.modified_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
