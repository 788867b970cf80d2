CREATE VIEW message_labels AS
SELECT message_id, message_uuid, contact_uuid, created_on, entry.uuid AS label_uuid,
    coalesce(dim_labels.label_name, entry.name) AS label_name
FROM (
    SELECT id AS message_id, uuid AS message_uuid, contact_uuid, created_on, unnest(labels) AS entry
    FROM messages WHERE deleted_on IS NULL
)
LEFT JOIN dim_labels ON dim_labels.label_uuid = entry.uuid;

COMMENT ON VIEW message_labels IS
    'Labels of messages: one row per message and label.';
COMMENT ON COLUMN message_labels.message_id IS 'messages.id of the message; null where it has none.';
COMMENT ON COLUMN message_labels.message_uuid IS 'messages.uuid of the message; null where it has none.';
COMMENT ON COLUMN message_labels.contact_uuid IS 'contacts.uuid of the contact.';
COMMENT ON COLUMN message_labels.created_on IS 'When the message was received (UTC).';
COMMENT ON COLUMN message_labels.label_uuid IS 'labels.uuid of the label.';
COMMENT ON COLUMN message_labels.label_name IS 'Best known name of that label.';
