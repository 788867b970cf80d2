-- One message template as the API writes it. Leaves are text here and get their type below: a value that does not fit its
-- type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE templates_record AS STRUCT (
    uuid VARCHAR,
    name VARCHAR,
    translations STRUCT (
        language VARCHAR,
        locale VARCHAR,
        content VARCHAR,
        namespace VARCHAR,
        variable_count VARCHAR,
        status VARCHAR,
        channel STRUCT (uuid VARCHAR, name VARCHAR)
    )[],
    created_on VARCHAR,
    modified_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        uuid := record.uuid::UUID,
        name := record.name,
        translations := CASE
            WHEN understood(record.translations, json, 'translations')
                AND elements_understood(list_transform(record.translations, lambda t: t.language), 'translations')
                THEN list_transform(
                    record.translations, lambda translation: struct_pack(
                        language := translation.language,
                        locale := translation.locale,
                        content := translation.content,
                        namespace := translation.namespace,
                        variable_count := translation.variable_count::INTEGER,
                        status := translation.status,
                        channel := CASE
                            WHEN translation.channel IS NOT NULL
                                THEN struct_pack(uuid := ref_uuid(translation.channel), name := translation.channel.name)
                        END
                    )
                )
        END,
        created_on := record.created_on::TIMESTAMPTZ,
        modified_on := record.modified_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
