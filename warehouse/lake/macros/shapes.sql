-- Whether what is nested was understood: rows in which something was not are quarantined.

-- NULL where a list, map or object is NULL or absent in the JSON; a failing cast where it is there and was not understood.
CREATE OR REPLACE TEMP MACRO understood(nested, json, key) AS
    CASE
        WHEN nested IS NOT NULL THEN true
        WHEN coalesce(json_type(json, '/' || key), 'NULL') = 'NULL' THEN true
        ELSE (key || ' has another shape: ' || left(json_extract_string(json, '/' || key), 100))::BOOLEAN
    END;

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
