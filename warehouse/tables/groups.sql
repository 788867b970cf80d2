CREATE TABLE groups (
    uuid UUID NOT NULL,
    name VARCHAR,
    query VARCHAR,
    status VARCHAR,
    system BOOLEAN,
    count BIGINT
);

COMMENT ON TABLE groups IS 'Groups of contacts: one row per group. Who is in it stands in contacts.groups.';
COMMENT ON COLUMN groups.uuid IS 'UUID of the group; the key.';
COMMENT ON COLUMN groups.name IS 'Name of the group.';
COMMENT ON COLUMN groups.query IS 'Search that decides who is in a smart group; null if people are added by hand.';
COMMENT ON COLUMN groups.status IS 'ready, evaluating (members of a smart group are being found) or, on newer servers, invalid.';
COMMENT ON COLUMN groups.system IS 'True if the server made the group, such as Open Tickets.';
COMMENT ON COLUMN groups.count IS 'Number of contacts in the group, from counters of the server that may drift.';
