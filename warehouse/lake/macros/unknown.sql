-- What a JSON value has that the type of its row does not say. The expressions that use these are made of the type.

-- The keys of an object that are not among the known ones, in their order.
CREATE OR REPLACE TEMP MACRO unknown_keys(json, known) AS
    list_filter(json_keys(json), lambda key: NOT list_contains(known, key));

-- The unknown keys of an object, with their values.
CREATE OR REPLACE TEMP MACRO unknown_entries(json, known) AS
    list_transform(
        unknown_keys(json, known),
        lambda key: struct_pack(
            key := key, value := json_extract(json, '/' || replace(replace(key, '~', '~0'), '/', '~1'))
        )
    );

-- The JSON object of those entries that have a value; NULL if none has. A list of one binds what is used twice.
CREATE OR REPLACE TEMP MACRO object_of(entries) AS
    list_transform(
        [list_filter(entries, lambda entry: entry.value IS NOT NULL)],
        lambda kept: CASE WHEN len(kept) > 0 THEN to_json(map_from_entries(kept)) END
    )[1];

-- The keys of an object with what there is to say of their values.
CREATE OR REPLACE TEMP MACRO map_entries_of(keys, parts) AS
    list_transform(list_zip(keys, parts), lambda pair: struct_pack(key := pair[1], value := pair[2]));

-- The JSON list of values, null where there is none; NULL if there is none at all.
CREATE OR REPLACE TEMP MACRO list_of(parts) AS
    list_transform([parts], lambda kept: CASE WHEN list_count(kept) > 0 THEN to_json(kept) END)[1];

-- Whether an object has the usual keys, or there is none.
CREATE OR REPLACE TEMP MACRO has_usual(keys, usual) AS
    coalesce(keys = usual OR len(keys) = 0, true);

-- Whether all of several objects have the usual keys.
CREATE OR REPLACE TEMP MACRO all_usual(key_lists, usual) AS
    coalesce(len(list_filter(key_lists, lambda keys: keys <> usual AND len(keys) > 0)) = 0, true);

-- Whether some of the objects that have these keys has one that is not known, or one twice.
CREATE OR REPLACE TEMP MACRO has_unknown(key_lists, known) AS
    coalesce(list_bool_or(list_transform(key_lists, lambda keys: NOT list_has_all(known, keys))), false);

CREATE OR REPLACE TEMP MACRO has_twice(key_lists) AS
    coalesce(list_bool_or(list_transform(key_lists, lambda keys: len(keys) > list_unique(keys))), false);

-- Whether one of several texts may be the JSON of something else than a text.
CREATE OR REPLACE TEMP MACRO one_is_json(texts) AS
    list_bool_or(list_transform(
        list_filter(texts, lambda text: prefix(text, '{') OR prefix(text, '[') OR suffix(text, 'NaN') OR suffix(text, 'Infinity')),
        lambda text: json_valid(text)
    ));

-- Whether a value is an object or a list.
CREATE OR REPLACE TEMP MACRO is_nested(json) AS
    coalesce(json_type(json) IN ('OBJECT', 'ARRAY'), false);

-- What a JSON text has outside its texts.
CREATE OR REPLACE TEMP MACRO without_texts(json) AS
    regexp_replace(json::VARCHAR, '"(\\.|[^"\\])*"', '', 'g');

-- A JSON value, if nothing at a path in it is an object or a list; a failing cast where something is.
CREATE OR REPLACE TEMP MACRO plain_at(json, path) AS
    CASE
        WHEN list_bool_or(list_transform(json_extract(json, path), lambda part: is_nested(part)))
            THEN 'an object or a list stands for a text'::BOOLEAN::VARCHAR::JSON
        ELSE json
    END;

-- The text of a key of an object; a failing cast where an object or a list stands there.
CREATE OR REPLACE TEMP MACRO plain_text(json, key) AS
    CASE
        WHEN is_nested(json_extract(json, '/' || key)) THEN (key || ' is an object or a list')::BOOLEAN::VARCHAR
        ELSE json ->> key
    END;
