-- The message counts of one day as the API writes them. Leaves are text here and get their type below: a value that does not
-- fit its type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE statistics_record AS STRUCT (
    date VARCHAR,
    channels MAP(
        VARCHAR,
        STRUCT (type VARCHAR, "text:in" VARCHAR, "text:out" VARCHAR, "voice:in" VARCHAR, "voice:out" VARCHAR)
    )
);

SELECT
    TRY(STRUCT_PACK(
        date := record.date::DATE,
        channels := CASE
            WHEN understood(record.channels, json, 'channels')
                AND elements_understood(list_transform(map_values(record.channels), lambda channel: channel.type), 'channels')
                THEN map_from_entries(list_transform(
                    map_entries(record.channels), lambda channel: struct_pack(
                        key := channel.key::UUID,
                        value := struct_pack(
                            type := channel.value.type,
                            text_in := coalesce(channel.value."text:in", '0')::BIGINT,
                            text_out := coalesce(channel.value."text:out", '0')::BIGINT,
                            voice_in := coalesce(channel.value."voice:in", '0')::BIGINT,
                            voice_out := coalesce(channel.value."voice:out", '0')::BIGINT
                        )
                    )
                ))
        END
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
