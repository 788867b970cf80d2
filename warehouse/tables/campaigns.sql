CREATE TABLE campaigns (
    uuid UUID NOT NULL,
    name VARCHAR,
    archived BOOLEAN,
    group_uuid UUID,
    group_name VARCHAR,
    created_on TIMESTAMPTZ
);

COMMENT ON TABLE campaigns IS
    'Campaigns: events scheduled around a date of each contact. One row per campaign that is not archived.';
COMMENT ON COLUMN campaigns.uuid IS 'UUID of the campaign; the key.';
COMMENT ON COLUMN campaigns.name IS 'Name of the campaign.';
COMMENT ON COLUMN campaigns.archived IS 'Always false: the server does not list archived campaigns.';
COMMENT ON COLUMN campaigns.group_uuid IS 'groups.uuid of the group whose members the campaign is for.';
COMMENT ON COLUMN campaigns.group_name IS 'Name of that group when the campaign was read. dim_groups has the current one.';
COMMENT ON COLUMN campaigns.created_on IS 'When the campaign was created (UTC).';
