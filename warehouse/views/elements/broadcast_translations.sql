CREATE VIEW broadcast_translations AS
SELECT broadcast_id, broadcast_uuid, created_on, entry.key AS language, entry.value AS text,
    entry.value = text_default AS is_default
FROM (
    SELECT id AS broadcast_id, uuid AS broadcast_uuid, created_on, text_default, unnest(map_entries(text)) AS entry
    FROM broadcasts WHERE deleted_on IS NULL
);

COMMENT ON VIEW broadcast_translations IS
    'Texts of broadcasts: one row per broadcast and language.';
COMMENT ON COLUMN broadcast_translations.broadcast_id IS 'broadcasts.id of the broadcast; null where it has none.';
COMMENT ON COLUMN broadcast_translations.broadcast_uuid IS 'broadcasts.uuid of the broadcast; null where it has none.';
COMMENT ON COLUMN broadcast_translations.created_on IS 'When it was created (UTC).';
COMMENT ON COLUMN broadcast_translations."language" IS 'Language (ISO 639-3, or und).';
COMMENT ON COLUMN broadcast_translations."text" IS 'The text; null if the language has attachments only.';
COMMENT ON COLUMN broadcast_translations.is_default IS 'True for the text that broadcasts.text_default has.';
