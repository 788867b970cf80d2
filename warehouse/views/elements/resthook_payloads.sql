CREATE VIEW resthook_payloads AS
SELECT
    resthook_events.key AS event_key, resthook, created_on, try_cast(data ->> '$.contact.uuid' AS UUID) AS contact_uuid,
    try_cast(data ->> '$.flow.uuid' AS UUID) AS flow_uuid, try_cast(data ->> '$.run.uuid' AS UUID) AS run_uuid,
    entry.key,
    entry.value
FROM (
    SELECT
        *,
        unnest(list_transform(
            json_keys(data),
            -- A JSON pointer, because a key may hold any sign.
            lambda name: struct_pack(key := name, value := data -> ('/' || replace(replace(name, '~', '~0'), '/', '~1')))
        )) AS entry
    FROM resthook_events WHERE json_type(data) = 'OBJECT'
) AS resthook_events;

COMMENT ON VIEW resthook_payloads IS
    'What resthooks were called with: one row per call and key of its payload.';
COMMENT ON COLUMN resthook_payloads.event_key IS 'resthook_events.key of the call.';
COMMENT ON COLUMN resthook_payloads.resthook IS 'The resthook.';
COMMENT ON COLUMN resthook_payloads.created_on IS 'When it was called (UTC).';
COMMENT ON COLUMN resthook_payloads.contact_uuid IS 'Contact in the payload, if any.';
COMMENT ON COLUMN resthook_payloads.flow_uuid IS 'Flow in the payload, if any.';
COMMENT ON COLUMN resthook_payloads.run_uuid IS 'Run in the payload, if any.';
COMMENT ON COLUMN resthook_payloads."key" IS 'Key at the top of the payload.';
COMMENT ON COLUMN resthook_payloads.value IS 'Its value, as JSON.';
