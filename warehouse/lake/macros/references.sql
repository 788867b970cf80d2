-- How references to objects become columns: their uuids.

-- The uuid of an object reference. A value that is no reference fails the cast, so that its row is quarantined.
CREATE OR REPLACE TEMP MACRO ref_uuid(ref) AS
    CASE WHEN ref IS NOT NULL AND ref.uuid IS NULL THEN ('not a reference: ' || ref::VARCHAR)::UUID ELSE ref.uuid::UUID END;

-- A list of object references with typed uuids. An element that is no reference fails the cast.
CREATE OR REPLACE TEMP MACRO refs(list, json, key) AS
    CASE
        WHEN understood(list, json, key)
            THEN list_transform(
                list, lambda ref: struct_pack(uuid := coalesce(ref.uuid, key || ' has no reference')::UUID, name := ref.name)
            )
    END;
