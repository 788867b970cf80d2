CREATE VIEW dim_channels AS
SELECT
    known.uuid AS channel_uuid,
    -- The server calls a deleted channel deleted-<uuid>-<old name>.
    regexp_replace(known.name, '^deleted-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-(.)', '\2') AS channel_name,
    channels.type, channels.address, channels.uuid IS NOT NULL AND channels.deleted_on IS NULL AS exists_now
FROM _known_names AS known
LEFT JOIN channels ON channels.uuid = known.uuid
WHERE known.kind = 'channel';

COMMENT ON VIEW dim_channels IS
    'Channels by their best known name: one row per channel that any row ever referred to.';
COMMENT ON COLUMN dim_channels.channel_uuid IS 'UUID of the channel; the key.';
COMMENT ON COLUMN dim_channels.channel_name IS 'Last name that the channel had before it was deleted, if it was.';
COMMENT ON COLUMN dim_channels.type IS 'Kind of channel; only newer servers send it.';
COMMENT ON COLUMN dim_channels.address IS 'Number or account messages come to.';
COMMENT ON COLUMN dim_channels.exists_now IS 'False if the server no longer lists it.';
