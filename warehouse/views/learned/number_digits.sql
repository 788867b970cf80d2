-- Digits that number fields need, by contacts written since the last look, where they need more than before.
-- Only plain numbers count: what is written otherwise gets no number, or is read as DOUBLE.
WITH written AS (
    SELECT entry.key, entry.value
    FROM (
        SELECT unnest(map_entries(fields)) AS entry
        FROM contacts
        WHERE synced_on >= getvariable('since') OR getvariable('new_number_field')
    )
    WHERE entry.value IS NOT NULL
),

needed AS (
    SELECT key, coalesce(max(length(ltrim(split_part(value, '.', 1), '+-0'))), 0) AS whole,
        coalesce(max(length(rtrim(split_part(value, '.', 2), '0'))), 0) AS decimals
    FROM fields
    LEFT JOIN (SELECT key, trim(value) AS value FROM written
    WHERE regexp_full_match(trim(value), '[+-]?[0-9]*\.?[0-9]*'))
        USING (key)
    WHERE fields.type = 'number' AND fields.deleted_on IS NULL
    GROUP BY key
)

SELECT key, greatest(needed.whole, coalesce(known.whole, 0)) AS whole,
    greatest(needed.decimals, coalesce(known.decimals, 0)) AS decimals
FROM needed
LEFT JOIN _number_digits AS known USING (key)
WHERE known.key IS NULL OR needed.whole > known.whole OR needed.decimals > known.decimals
ORDER BY key;
