CREATE TABLE statistics (
    date DATE NOT NULL,
    channels MAP(UUID, STRUCT (type VARCHAR, text_in BIGINT, text_out BIGINT, voice_in BIGINT, voice_out BIGINT))
);

COMMENT ON TABLE statistics IS 'How many messages each channel carried: one row per day. Only channels in use are counted.';
COMMENT ON COLUMN statistics.date IS 'The day that is counted; the key.';
COMMENT ON COLUMN statistics.channels IS
    'By channels.uuid: type of the channel, and number of text messages in and out and of voice messages in and out; 0 if none.';
