-- How translatable values become maps, and one text.

-- A translatable value: a map by language; a plain string (older servers) becomes a map under the base language.
CREATE OR REPLACE TEMP MACRO translations(value, base) AS
    CASE
        WHEN json_type(value) = 'VARCHAR' THEN MAP {coalesce(base, 'und'): value ->> '$'}
        ELSE plain_at(value, '$.*')::MAP(VARCHAR, VARCHAR)
    END;

-- One text out of a translatable value: base language, then the workspace's languages in order, then any.
CREATE OR REPLACE TEMP MACRO best_translation(translated, base) AS
    list_filter(
        list_transform(
            list_concat([base], coalesce(getvariable('languages'), []::VARCHAR[]), map_keys(translated)),
            lambda language: translated[language]
        ),
        lambda text: text IS NOT NULL
    )[1];

-- best_translation of a translatable value. It does not fail: a cast that occurs twice in one TRY is moved out of the TRY.
CREATE OR REPLACE TEMP MACRO default_text(value, base) AS
    best_translation(
        CASE
            WHEN json_type(value) = 'VARCHAR' THEN MAP {coalesce(base, 'und'): value ->> '$'}
            ELSE TRY_CAST(value AS MAP(VARCHAR, VARCHAR))
        END,
        base
    );
