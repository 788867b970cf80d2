CREATE VIEW campaign_event_translations AS
SELECT event_uuid, campaign_uuid, campaign_name, entry.key AS language, entry.value AS text,
    entry.value = message_default AS is_default
FROM (
    SELECT uuid AS event_uuid, campaign_uuid, campaign_name, message_default, unnest(map_entries(message)) AS entry
    FROM campaign_events WHERE deleted_on IS NULL
);

COMMENT ON VIEW campaign_event_translations IS
    'Texts of campaign events: one row per event and language.';
COMMENT ON COLUMN campaign_event_translations.event_uuid IS 'campaign_events.uuid of the event.';
COMMENT ON COLUMN campaign_event_translations.campaign_uuid IS 'campaigns.uuid of its campaign.';
COMMENT ON COLUMN campaign_event_translations.campaign_name IS 'Name of that campaign.';
COMMENT ON COLUMN campaign_event_translations."language" IS 'Language (ISO 639-3).';
COMMENT ON COLUMN campaign_event_translations."text" IS 'The text.';
COMMENT ON COLUMN campaign_event_translations.is_default IS 'True for the text that campaign_events.message_default has.';
