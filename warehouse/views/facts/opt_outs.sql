CREATE VIEW opt_outs AS
WITH stops AS (
    SELECT contact_uuid, coalesce(occurred_on, created_on) AS opted_out_on, channel_uuid, true AS is_exact
    FROM channel_events
    WHERE type = 'stop-contact'
),

dated AS (
    FROM stops
    UNION ALL
    SELECT uuid, modified_on, NULL, false
    FROM contacts
    WHERE status = 'stopped' AND deleted_on IS NULL
        AND uuid NOT IN (SELECT contact_uuid FROM stops WHERE contact_uuid IS NOT NULL)
)

SELECT dated.contact_uuid, contacts.name AS contact_name, opted_out_on, is_exact, channel_uuid, channel_name,
    coalesce(contacts.status = 'stopped', false) AS is_out_now
FROM dated
LEFT JOIN contacts ON contacts.uuid = dated.contact_uuid
LEFT JOIN dim_channels USING (channel_uuid);

COMMENT ON VIEW opt_outs IS
    'Contacts who asked for no more messages: one row per opt-out.';
COMMENT ON COLUMN opt_outs.contact_uuid IS 'contacts.uuid of the contact.';
COMMENT ON COLUMN opt_outs.contact_name IS 'Name of the contact.';
COMMENT ON COLUMN opt_outs.opted_out_on IS 'When (UTC).';
COMMENT ON COLUMN opt_outs.is_exact IS 'True if the server noted the moment; else it is when the stopped contact last changed, the latest it can have been.';
COMMENT ON COLUMN opt_outs.channel_uuid IS 'channels.uuid of the channel it came through, if known.';
COMMENT ON COLUMN opt_outs.channel_name IS 'Best known name of that channel.';
COMMENT ON COLUMN opt_outs.is_out_now IS 'True if the contact is stopped today.';
