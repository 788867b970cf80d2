CREATE TABLE campaign_events (
    uuid UUID NOT NULL,
    campaign_uuid UUID,
    campaign_name VARCHAR,
    relative_to_key VARCHAR,
    relative_to_name VARCHAR,
    "offset" INTEGER,
    unit VARCHAR,
    delivery_hour INTEGER,
    flow_uuid UUID,
    flow_name VARCHAR,
    message MAP(VARCHAR, VARCHAR),
    message_default VARCHAR,
    created_on TIMESTAMPTZ
);

COMMENT ON TABLE campaign_events IS
    'Events of campaigns: what happens how long before or after a date of a contact. One row per event.';
COMMENT ON COLUMN campaign_events.uuid IS
    'UUID of the event; the key. On older servers each edit makes a new event with a new UUID.';
COMMENT ON COLUMN campaign_events.campaign_uuid IS
    'campaigns.uuid of its campaign; may be an archived one, which campaigns does not have.';
COMMENT ON COLUMN campaign_events.campaign_name IS 'Name of that campaign when the event was read. campaigns has the current one.';
COMMENT ON COLUMN campaign_events.relative_to_key IS
    'fields.key of the date it is scheduled around; may be created_on or last_seen_on, which fields does not have.';
COMMENT ON COLUMN campaign_events.relative_to_name IS 'Name of that field when the event was read. fields has the current one.';
COMMENT ON COLUMN campaign_events."offset" IS 'How long after the date it happens, counted in unit; negative is before the date.';
COMMENT ON COLUMN campaign_events.unit IS 'Unit of offset: minutes, hours, days or weeks.';
COMMENT ON COLUMN campaign_events.delivery_hour IS
    'Hour of the day, 0 to 23, in the workspace''s time zone; -1 for the hour of the date itself.';
COMMENT ON COLUMN campaign_events.flow_uuid IS 'flows.uuid of the flow it starts; null if it sends a message.';
COMMENT ON COLUMN campaign_events.flow_name IS 'Name of that flow when the event was read. dim_flows has the current one.';
COMMENT ON COLUMN campaign_events.message IS 'What it sends, by language (ISO 639-3); null if it starts a flow.';
COMMENT ON COLUMN campaign_events.message_default IS
    'One of message: the first of the workspace''s languages that has one, else any; null if it starts a flow.';
COMMENT ON COLUMN campaign_events.created_on IS 'When the event was created (UTC).';
