-- How references to objects become columns: their uuids; and the names of what is deleted.

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

-- Whether a name is the one that the server gives a thing when it is deleted: deleted-<a random uuid>-<the name it had>, cut
-- to the longest name that the thing may have, which is 64 characters, and of fields and globals 36. A person may well call a
-- thing deleted-something.
CREATE OR REPLACE TEMP MACRO is_deleted_name(name) AS
    starts_with(name, 'deleted-')
        AND regexp_matches(name, '^deleted-[0-9a-f]{8}(-[0-9a-f]{4}){3}-([0-9a-f]{12}-|[0-9a-f]{4}$)');

-- The name that a deleted thing had, where nothing of it was cut off, for it may have so many characters; else the name as it
-- is.
CREATE OR REPLACE TEMP MACRO name_before(name, longest) AS
    CASE WHEN is_deleted_name(name) AND length(name) BETWEEN 46 AND longest - 1 THEN substring(name, 46) ELSE name END;

-- A list of references with the good names that another list of the same things has, where the server took theirs.
CREATE OR REPLACE TEMP MACRO with_good_names(refs, others) AS
    CASE
        WHEN len(list_filter(refs, lambda ref: is_deleted_name(ref.name))) > 0
            THEN list_transform(
                refs,
                lambda ref: struct_pack(
                    uuid := ref.uuid,
                    name := CASE
                        WHEN is_deleted_name(ref.name)
                            THEN coalesce(
                                list_filter(
                                    others, lambda other: other.uuid = ref.uuid AND NOT is_deleted_name(other.name)
                                )[1].name,
                                ref.name
                            )
                        ELSE ref.name
                    END
                )
            )
        ELSE refs
    END;
