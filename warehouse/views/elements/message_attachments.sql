CREATE VIEW message_attachments AS
SELECT message_id, message_uuid, contact_uuid, direction, created_on, number, entry.content_type, entry.url
FROM (
    SELECT id AS message_id, uuid AS message_uuid, contact_uuid, direction, created_on, unnest(attachments) AS entry,
        unnest(range(1, len(attachments) + 1)) AS number
    FROM messages WHERE deleted_on IS NULL
);

COMMENT ON VIEW message_attachments IS
    'Attachments of messages: one row per attachment.';
COMMENT ON COLUMN message_attachments.message_id IS 'messages.id of the message; null where it has none.';
COMMENT ON COLUMN message_attachments.message_uuid IS 'messages.uuid of the message; null where it has none.';
COMMENT ON COLUMN message_attachments.contact_uuid IS 'contacts.uuid of the contact.';
COMMENT ON COLUMN message_attachments.direction IS 'in or out.';
COMMENT ON COLUMN message_attachments.created_on IS 'When the message was written or received (UTC).';
COMMENT ON COLUMN message_attachments."number" IS '1 for the first attachment of the message.';
COMMENT ON COLUMN message_attachments.content_type IS 'Kind of attachment, such as image/jpeg or geo.';
COMMENT ON COLUMN message_attachments.url IS 'Where the file is, or coordinates.';
