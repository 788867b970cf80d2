-- One contact as the API writes it, living or deleted. Leaves are text here and get their type below: a value that does not
-- fit its type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE contacts_record AS STRUCT (
    uuid VARCHAR,
    name VARCHAR,
    ref VARCHAR,
    anon_display VARCHAR,
    status VARCHAR,
    language VARCHAR,
    urns VARCHAR[],
    groups STRUCT (uuid VARCHAR, name VARCHAR)[],
    notes STRUCT (text VARCHAR, created_on VARCHAR, created_by STRUCT (email VARCHAR, name VARCHAR))[],
    fields MAP(VARCHAR, VARCHAR),
    flow STRUCT (uuid VARCHAR, name VARCHAR),
    created_on VARCHAR,
    modified_on VARCHAR,
    last_seen_on VARCHAR,
    blocked VARCHAR,
    stopped VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        uuid := record.uuid::UUID,
        name := record.name,
        ref := record.ref,
        anon_display := record.anon_display,
        status := record.status,
        language := record.language,
        urns := urn_structs(record.urns, json, 'urns'),
        groups := refs(record.groups, json, 'groups'),
        notes := CASE
            WHEN understood(record.notes, json, 'notes')
                THEN list_transform(
                    record.notes, lambda note: struct_pack(
                        text := note.text,
                        created_on := coalesce(note.created_on, 'no created_on')::TIMESTAMPTZ,
                        created_by_email := note.created_by.email,
                        created_by_name := note.created_by.name
                    )
                )
        END,
        fields := CASE WHEN understood(record.fields, json, 'fields') THEN record.fields END,
        flow_uuid := ref_uuid(record.flow),
        flow_name := record.flow.name,
        created_on := record.created_on::TIMESTAMPTZ,
        modified_on := record.modified_on::TIMESTAMPTZ,
        last_seen_on := record.last_seen_on::TIMESTAMPTZ,
        blocked := record.blocked::BOOLEAN,
        stopped := record.stopped::BOOLEAN
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
