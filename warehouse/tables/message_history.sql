CREATE TABLE message_history (
    id BIGINT,
    what VARCHAR NOT NULL,
    from_value VARCHAR,
    to_value VARCHAR,
    still_on TIMESTAMPTZ,
    changed_by TIMESTAMPTZ NOT NULL,
    uuid UUID
);

COMMENT ON TABLE message_history IS
    'Every change seen of a message''s status, visibility or labels: one row per change. It happened between still_on and changed_by.';
COMMENT ON COLUMN message_history.id IS 'messages.id of the message; null where it has none.';
COMMENT ON COLUMN message_history.what IS 'What changed: status, visibility or labels.';
COMMENT ON COLUMN message_history.from_value IS 'The value before; labels as JSON.';
COMMENT ON COLUMN message_history.to_value IS 'The value after; labels as JSON.';
COMMENT ON COLUMN message_history.still_on IS 'When the value before was last seen (UTC).';
COMMENT ON COLUMN message_history.changed_by IS 'When the value after was first seen (UTC).';
COMMENT ON COLUMN message_history.uuid IS 'messages.uuid of the message; null where the server sends none, and in changes noted by earlier versions.';
