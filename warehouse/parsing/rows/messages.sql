-- One message as the API and the archive files write it. Leaves are text here and get their type below:
-- a value that does not fit its type makes the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE messages_record AS STRUCT (
    id VARCHAR,
    uuid VARCHAR,
    broadcast VARCHAR,
    contact STRUCT (uuid VARCHAR, name VARCHAR),
    urn VARCHAR,
    channel STRUCT (uuid VARCHAR, name VARCHAR),
    direction VARCHAR,
    type VARCHAR,
    status VARCHAR,
    visibility VARCHAR,
    archived VARCHAR,
    text VARCHAR,
    labels STRUCT (uuid VARCHAR, name VARCHAR)[],
    flow STRUCT (uuid VARCHAR, name VARCHAR),
    ticket_uuid VARCHAR,
    attachments STRUCT (content_type VARCHAR, url VARCHAR)[],
    quick_replies JSON,
    media VARCHAR,
    created_on VARCHAR,
    sent_on VARCHAR,
    modified_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        id := record.id::BIGINT,
        uuid := record.uuid::UUID,
        broadcast := record.broadcast::BIGINT,
        contact_uuid := ref_uuid(record.contact),
        contact_name := record.contact.name,
        urn := record.urn,
        urn_scheme := urn_scheme(record.urn),
        urn_path := urn_path(record.urn),
        urn_display := urn_display(record.urn),
        channel_uuid := ref_uuid(record.channel),
        channel_name := record.channel.name,
        direction := record.direction,
        -- Archives from before 2023 have the older names.
        type := CASE record.type WHEN 'inbox' THEN 'text' WHEN 'flow' THEN 'text' WHEN 'ivr' THEN 'voice' ELSE record.type END,
        status := record.status,
        visibility := record.visibility,
        archived := record.archived::BOOLEAN,
        text := record.text,
        labels := refs(record.labels, json, 'labels'),
        flow_uuid := ref_uuid(record.flow),
        flow_name := record.flow.name,
        ticket_uuid := record.ticket_uuid::UUID,
        attachments := CASE
            WHEN understood(record.attachments, json, 'attachments')
                AND elements_understood(list_transform(record.attachments, lambda file: file.url), 'attachments')
                THEN record.attachments
        END,
        quick_replies := record.quick_replies,
        media := record.media,
        created_on := coalesce(record.created_on, 'no created_on')::TIMESTAMPTZ,
        sent_on := record.sent_on::TIMESTAMPTZ,
        modified_on := record.modified_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
