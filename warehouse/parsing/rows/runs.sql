-- One run as the API and the archive files write it. Leaves are text here and get their type below: a value that does not
-- fit its type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE runs_record AS STRUCT (
    id VARCHAR,
    uuid VARCHAR,
    flow STRUCT (uuid VARCHAR, name VARCHAR),
    contact STRUCT (uuid VARCHAR, name VARCHAR, urn VARCHAR, urn_display VARCHAR, anon_display VARCHAR, ref VARCHAR),
    start STRUCT (uuid VARCHAR),
    responded VARCHAR,
    path STRUCT (node VARCHAR, "time" VARCHAR)[],
    values MAP(VARCHAR, STRUCT (value VARCHAR, category VARCHAR, name VARCHAR, input VARCHAR, node VARCHAR, "time" VARCHAR)),
    events JSON,
    submitted_by VARCHAR,
    created_on VARCHAR,
    modified_on VARCHAR,
    exited_on VARCHAR,
    exit_type VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        -- Archives from before October 2018 have no uuid: the id takes its place, in hexadecimal, and is recognised by the zeros.
        uuid := coalesce(record.uuid::UUID, lpad(to_hex(record.id::BIGINT), 32, '0')::UUID),
        id := record.id::BIGINT,
        flow_uuid := ref_uuid(record.flow),
        flow_name := record.flow.name,
        contact_uuid := ref_uuid(record.contact),
        contact_name := record.contact.name,
        contact_urn := record.contact.urn,
        contact_urn_scheme := urn_scheme(record.contact.urn),
        contact_urn_path := urn_path(record.contact.urn),
        contact_urn_display := record.contact.urn_display,
        contact_anon_display := record.contact.anon_display,
        contact_ref := record.contact.ref,
        start_uuid := ref_uuid(record.start),
        responded := record.responded::BOOLEAN,
        path := CASE
            WHEN understood(record.path, json, 'path')
                AND elements_understood(list_transform(record.path, lambda step: coalesce(step.node, step.time)), 'path')
                THEN record.path::STRUCT (node UUID, "time" TIMESTAMPTZ)[]
        END,
        results := CASE
            -- Archives from before June 2018: a list of objects with one result each; a later one replaces an earlier one.
            WHEN json_type(json, '/values') = 'ARRAY'
                THEN map_from_entries(list_transform(
                    map_entries(list_reduce(
                        (json -> '/values')::MAP(VARCHAR, JSON)[],
                        lambda merged, result: map_concat(merged, result),
                        MAP {}::MAP(VARCHAR, JSON)
                    )),
                    lambda result: struct_pack(
                        key := result.key,
                        value := struct_pack(
                            value := CASE
                                WHEN json_type(result.value) = 'OBJECT' THEN plain_text(result.value, 'value')
                                ELSE ('not a result: ' || left(result.value::VARCHAR, 100))::BOOLEAN::VARCHAR
                            END,
                            category := plain_text(result.value, 'category'),
                            name := plain_text(result.value, 'name'),
                            input := plain_text(result.value, 'input'),
                            node := (result.value ->> 'node')::UUID,
                            "time" := (result.value ->> 'time')::TIMESTAMPTZ
                        )
                    )
                ))
            WHEN understood(record.values, json, 'values')
                AND elements_understood(
                    list_transform(map_values(record.values), lambda result: coalesce(result.time, result.node, result.value)),
                    'values'
                )
                THEN record.values::MAP(
                    VARCHAR,
                    STRUCT (value VARCHAR, category VARCHAR, name VARCHAR, input VARCHAR, node UUID, "time" TIMESTAMPTZ)
                )
        END,
        events := record.events,
        submitted_by := record.submitted_by,
        created_on := coalesce(record.created_on, 'no created_on')::TIMESTAMPTZ,
        modified_on := record.modified_on::TIMESTAMPTZ,
        exited_on := record.exited_on::TIMESTAMPTZ,
        exit_type := record.exit_type
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
