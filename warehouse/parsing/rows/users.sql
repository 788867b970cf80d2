-- One user as the API writes it. Leaves are text here and get their type below: a value that does not fit its type makes the
-- row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE users_record AS STRUCT (
    uuid VARCHAR,
    email VARCHAR,
    name VARCHAR,
    first_name VARCHAR,
    last_name VARCHAR,
    role VARCHAR,
    team STRUCT (uuid VARCHAR, name VARCHAR),
    avatar VARCHAR,
    created_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        email := record.email,
        uuid := record.uuid::UUID,
        name := record.name,
        first_name := record.first_name,
        last_name := record.last_name,
        role := record.role,
        team_uuid := ref_uuid(record.team),
        team_name := record.team.name,
        avatar := record.avatar,
        created_on := record.created_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
