-- Results in runs and definitions written since the last look, where they are new or have another name.
-- A definition's name outranks that in runs, which have it as it was when they ran.
WITH seen AS (
    SELECT uuid AS flow_uuid, result.key, result.name, 0 AS rank
    FROM (SELECT uuid, unnest(results) AS result FROM flows WHERE synced_on >= getvariable('since'))
    UNION ALL
    SELECT flow_uuid, unnest(keys), unnest(names), 1
    FROM (
        SELECT flow_uuid, map_keys(results) AS keys,
            any_value(list_transform(map_values(results), lambda result: result.name)) AS names
        FROM runs
        WHERE synced_on >= getvariable('since') AND results IS NOT NULL
        GROUP BY flow_uuid, keys
    )
),

best AS (
    SELECT DISTINCT ON (flow_uuid, key) flow_uuid, key, name, rank
    FROM seen
    -- No key with a zero byte can be looked up in a catalog.
    WHERE flow_uuid IS NOT NULL AND NOT contains(key, chr(0))
    ORDER BY flow_uuid, key, rank, name
)

SELECT best.flow_uuid, best.key, best.name
FROM best
LEFT JOIN _result_keys AS known USING (flow_uuid, key)
WHERE known.flow_uuid IS NULL OR (rank = 0 AND best.name IS DISTINCT FROM known.name)
ORDER BY flow_uuid, key;
