-- One ticket as the API writes it. Leaves are text here and get their type below: a value that does not fit its type makes
-- the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE tickets_record AS STRUCT (
    uuid VARCHAR,
    contact STRUCT (uuid VARCHAR, name VARCHAR),
    status VARCHAR,
    topic STRUCT (uuid VARCHAR, name VARCHAR),
    body VARCHAR,
    assignee STRUCT (email VARCHAR, name VARCHAR),
    opened_on VARCHAR,
    opened_by STRUCT (email VARCHAR, name VARCHAR),
    opened_in STRUCT (uuid VARCHAR, name VARCHAR),
    modified_on VARCHAR,
    closed_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        uuid := record.uuid::UUID,
        contact_uuid := ref_uuid(record.contact),
        contact_name := record.contact.name,
        status := record.status,
        topic_uuid := ref_uuid(record.topic),
        topic_name := record.topic.name,
        body := record.body,
        assignee_email := part(record.assignee.email, json, 'assignee', 'email'),
        assignee_name := record.assignee.name,
        opened_on := record.opened_on::TIMESTAMPTZ,
        opened_by_email := part(record.opened_by.email, json, 'opened_by', 'email'),
        opened_by_name := record.opened_by.name,
        opened_in_uuid := ref_uuid(record.opened_in),
        opened_in_name := record.opened_in.name,
        modified_on := record.modified_on::TIMESTAMPTZ,
        closed_on := record.closed_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
