-- One broadcast as the API writes it. Leaves are text here and get their type below: a value that does not fit its type
-- makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE broadcasts_record AS STRUCT (
    id VARCHAR,
    uuid VARCHAR,
    status VARCHAR,
    progress STRUCT (total VARCHAR, started VARCHAR),
    urns VARCHAR[],
    contacts STRUCT (uuid VARCHAR, name VARCHAR)[],
    groups STRUCT (uuid VARCHAR, name VARCHAR)[],
    text JSON,
    attachments JSON,
    quick_replies JSON,
    base_language VARCHAR,
    created_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        id := record.id::BIGINT,
        uuid := record.uuid::UUID,
        status := record.status,
        progress_total := CASE
            WHEN record.progress.total IS DISTINCT FROM '-1'
                THEN part(record.progress.total, json, 'progress', 'total')::BIGINT
        END,
        progress_started := record.progress.started::BIGINT,
        urns := urn_structs(record.urns, json, 'urns'),
        contacts := refs(record.contacts, json, 'contacts'),
        groups := refs(record.groups, json, 'groups'),
        text := translations(record.text, record.base_language),
        text_default := default_text(record.text, record.base_language),
        attachments := CASE json_type(record.attachments)
            WHEN 'ARRAY' THEN MAP {coalesce(record.base_language, 'und'): plain_at(record.attachments, '$[*]')::VARCHAR[]}
            ELSE plain_at(record.attachments, '$.*[*]')::MAP(VARCHAR, VARCHAR[])
        END,
        quick_replies := record.quick_replies,
        base_language := record.base_language,
        created_on := record.created_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
