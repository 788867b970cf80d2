CREATE TABLE users (
    email VARCHAR NOT NULL,
    uuid UUID,
    name VARCHAR,
    first_name VARCHAR,
    last_name VARCHAR,
    role VARCHAR,
    team_uuid UUID,
    team_name VARCHAR,
    avatar VARCHAR,
    created_on TIMESTAMPTZ
);

COMMENT ON TABLE users IS 'People who work in the workspace: one row per user. Tickets may name users since removed.';
COMMENT ON COLUMN users.email IS 'E-mail address of the user; the key, as older servers send no UUID. May change.';
COMMENT ON COLUMN users.uuid IS 'UUID of the user; only newer servers send it.';
COMMENT ON COLUMN users.name IS 'Full name; only newer servers send it.';
COMMENT ON COLUMN users.first_name IS 'First name; may be empty. Deprecated by the API.';
COMMENT ON COLUMN users.last_name IS 'Last name; may be empty. Deprecated by the API.';
COMMENT ON COLUMN users.role IS 'administrator, editor or agent; on older servers also viewer or surveyor.';
COMMENT ON COLUMN users.team_uuid IS 'UUID of the team of an agent; null for other users and on older servers.';
COMMENT ON COLUMN users.team_name IS 'Name of that team when the user was read.';
COMMENT ON COLUMN users.avatar IS 'URL of the picture of the user; null if there is none, and on older servers.';
COMMENT ON COLUMN users.created_on IS 'When the account was created (UTC), not when it joined this workspace.';
