CREATE TABLE channels (
    uuid UUID NOT NULL,
    name VARCHAR,
    address VARCHAR,
    type VARCHAR,
    country VARCHAR,
    device_name VARCHAR,
    device_power_level INTEGER,
    device_power_status VARCHAR,
    device_power_source VARCHAR,
    device_network_type VARCHAR,
    last_seen TIMESTAMPTZ,
    created_on TIMESTAMPTZ
);

COMMENT ON TABLE channels IS
    'Channels that messages go through: one row per channel in use. Messages may name channels since removed.';
COMMENT ON COLUMN channels.uuid IS 'UUID of the channel; the key.';
COMMENT ON COLUMN channels.name IS 'Name of the channel; null if it has none.';
COMMENT ON COLUMN channels.address IS 'Number or account messages come to; null if the channel has none.';
COMMENT ON COLUMN channels.type IS
    'Kind of channel, such as android, facebook or twilio; an open list. Only newer servers send it.';
COMMENT ON COLUMN channels.country IS 'Country of the channel (ISO 3166, two letters); null if it has none.';
COMMENT ON COLUMN channels.device_name IS 'Model of the phone; null if the channel is not an Android phone.';
COMMENT ON COLUMN channels.device_power_level IS
    'Charge of its battery in percent; -1 if the phone never reported one, null if there is no phone.';
COMMENT ON COLUMN channels.device_power_status IS
    'State of its battery as the phone reports it; null if unknown or there is no phone.';
COMMENT ON COLUMN channels.device_power_source IS
    'What powers it, as the phone reports it; null if unknown or there is no phone.';
COMMENT ON COLUMN channels.device_network_type IS
    'Kind of network it uses, as it reports it; null if unknown or there is no phone.';
COMMENT ON COLUMN channels.last_seen IS
    'When the phone last reported to the server (UTC); null if the channel is not an Android phone.';
COMMENT ON COLUMN channels.created_on IS 'When the channel was created (UTC).';
