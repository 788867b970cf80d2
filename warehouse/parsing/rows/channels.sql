-- One channel as the API writes it. Leaves are text here and get their type below: a value that does not fit its type makes
-- the row unreadable, and it goes to _quarantine.
CREATE OR REPLACE TEMP TYPE channels_record AS STRUCT (
    uuid VARCHAR,
    name VARCHAR,
    address VARCHAR,
    type VARCHAR,
    country VARCHAR,
    device STRUCT (name VARCHAR, power_level VARCHAR, power_status VARCHAR, power_source VARCHAR, network_type VARCHAR),
    last_seen VARCHAR,
    created_on VARCHAR
);

SELECT
    TRY(STRUCT_PACK(
        uuid := record.uuid::UUID,
        name := record.name,
        address := record.address,
        type := record.type,
        country := record.country,
        device_name := part(record.device.name, json, 'device', 'name'),
        device_power_level := record.device.power_level::INTEGER,
        device_power_status := record.device.power_status,
        device_power_source := record.device.power_source,
        device_network_type := record.device.network_type,
        last_seen := record.last_seen::TIMESTAMPTZ,
        created_on := record.created_on::TIMESTAMPTZ
    )) AS row,
    records.* EXCLUDE (record)
FROM records;
