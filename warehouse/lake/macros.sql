-- What every stream's SELECT may use. Run once per connection that loads rows.

-- A URN is scheme:path[?query][#display]; only %, # and ? are escaped inside a part.
CREATE OR REPLACE TEMP MACRO urn_unescape(part) AS
    replace(replace(replace(part, '%23', '#'), '%3F', '?'), '%25', '%');

CREATE OR REPLACE TEMP MACRO urn_scheme(urn) AS
    split_part(urn, ':', 1);

-- Most URNs need no regular expression, which takes five times as long.
CREATE OR REPLACE TEMP MACRO urn_path(urn) AS
    CASE
        WHEN NOT contains(urn, ':') THEN ''
        WHEN contains(urn, '#') OR contains(urn, '?') OR contains(urn, '%')
            THEN urn_unescape(regexp_extract(urn, '^[^:]*:([^?#]*)', 1, 's'))
        ELSE substr(urn, strpos(urn, ':') + 1)
    END;

CREATE OR REPLACE TEMP MACRO urn_display(urn) AS
    CASE WHEN contains(urn, '#') THEN urn_unescape(regexp_extract(urn, '#(.*)$', 1, 's')) END;

CREATE OR REPLACE TEMP MACRO urn_struct(urn) AS
    struct_pack(urn := urn, scheme := urn_scheme(urn), path := urn_path(urn), display := urn_display(urn));

-- The uuid of an object reference. A value that is no reference fails the cast, so that its row is quarantined.
CREATE OR REPLACE TEMP MACRO ref_uuid(ref) AS
    CASE WHEN ref IS NOT NULL AND ref.uuid IS NULL THEN ('not a reference: ' || ref::VARCHAR)::UUID ELSE ref.uuid::UUID END;

-- NULL where a list, map or object is NULL or absent in the JSON; a failing cast where it is there and was not understood.
CREATE OR REPLACE TEMP MACRO understood(nested, json, key) AS
    CASE
        WHEN nested IS NOT NULL THEN true
        WHEN coalesce(json_type(json, '/' || key), 'NULL') = 'NULL' THEN true
        ELSE (key || ' has another shape: ' || left(json_extract_string(json, '/' || key), 100))::BOOLEAN
    END;

-- A translatable value: a map by language; a plain string (older servers) becomes a map under the base language.
CREATE OR REPLACE TEMP MACRO translations(value, base) AS
    CASE
        WHEN json_type(value) = 'VARCHAR' THEN MAP {coalesce(base, 'und'): value ->> '$'}
        ELSE value::MAP(VARCHAR, VARCHAR)
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

-- True unless an element of a list or map came out empty: it had another shape, and the cast fails. One mark per element.
CREATE OR REPLACE TEMP MACRO elements_understood(marks, key) AS
    CASE
        WHEN marks IS NULL OR list_count(marks) = len(marks) THEN true
        ELSE (key || ' has elements of another shape')::BOOLEAN
    END;

-- A part of an object, NULL where the object is NULL or absent; a failing cast where something without that part is there.
CREATE OR REPLACE TEMP MACRO part(value, json, key, name) AS
    CASE
        WHEN value IS NOT NULL THEN value
        WHEN coalesce(json_type(json, '/' || key), 'NULL') = 'NULL' THEN NULL
        WHEN json_exists(json, '/' || key || '/' || name) THEN NULL
        ELSE (key || ' has another shape: ' || left(json_extract_string(json, '/' || key), 100))::BOOLEAN::VARCHAR
    END;

-- A list of object references with typed uuids. An element that is no reference fails the cast.
CREATE OR REPLACE TEMP MACRO refs(list, json, key) AS
    CASE
        WHEN understood(list, json, key)
            THEN list_transform(
                list, lambda ref: struct_pack(uuid := coalesce(ref.uuid, key || ' has no reference')::UUID, name := ref.name)
            )
    END;

-- A list of URNs in their parts. An element that is no text fails the cast.
CREATE OR REPLACE TEMP MACRO urn_structs(list, json, key) AS
    CASE
        WHEN understood(list, json, key)
            AND elements_understood(list_transform(list, lambda urn: CASE WHEN left(urn, 1) NOT IN ('{', '[') THEN urn END), key)
            THEN list_transform(list, lambda urn: urn_struct(urn))
    END;

-- best_translation of a translatable value. It does not fail: a cast that occurs twice in one TRY is moved out of the TRY.
CREATE OR REPLACE TEMP MACRO default_text(value, base) AS
    best_translation(
        CASE
            WHEN json_type(value) = 'VARCHAR' THEN MAP {coalesce(base, 'und'): value ->> '$'}
            ELSE TRY_CAST(value AS MAP(VARCHAR, VARCHAR))
        END,
        base
    );
