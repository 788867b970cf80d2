CREATE VIEW dim_topics AS
SELECT
    known.uuid AS topic_uuid,
    -- The server calls a deleted topic deleted-<uuid>-<old name>.
    regexp_replace(known.name, '^deleted-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-(.)', '\2') AS topic_name,
    topics.uuid IS NOT NULL AND topics.deleted_on IS NULL AS exists_now
FROM _known_names AS known
LEFT JOIN topics ON topics.uuid = known.uuid
WHERE known.kind = 'topic';

COMMENT ON VIEW dim_topics IS
    'Topics by their best known name: one row per topic that any row ever referred to.';
COMMENT ON COLUMN dim_topics.topic_uuid IS 'UUID of the topic; the key.';
COMMENT ON COLUMN dim_topics.topic_name IS 'Last name that the topic had before it was deleted, if it was.';
COMMENT ON COLUMN dim_topics.exists_now IS 'False if the server no longer lists it.';
