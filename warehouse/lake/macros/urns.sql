-- How a URN becomes columns: its scheme, path and display.

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

-- A list of URNs in their parts. An element that is no text fails the cast.
CREATE OR REPLACE TEMP MACRO urn_structs(list, json, key) AS
    CASE
        WHEN understood(list, json, key)
            AND elements_understood(list_transform(list, lambda urn: CASE WHEN left(urn, 1) NOT IN ('{', '[') THEN urn END), key)
            THEN list_transform(list, lambda urn: urn_struct(urn))
    END;
