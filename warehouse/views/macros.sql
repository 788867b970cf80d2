-- What the views below share, and queries may use too. The time zone is the workspace's.
CREATE OR REPLACE MACRO local_time(moment) AS timezone({timezone}, moment::TIMESTAMPTZ);

-- The value of a datetime field; one without an offset is read in the workspace's time zone. NULL if it is none.
-- Before a country had a standard time, its offset has seconds. DuckDB's own words, infinity and epoch, are no times.
CREATE OR REPLACE MACRO time_of(written) AS
    CASE
        WHEN NOT regexp_matches(written, '[0-9]') THEN NULL
        WHEN regexp_matches(written, ':[0-9.:]+ ?(Z|[+-][0-9]{{2}}(:?[0-9]{{2}}(:[0-9]{{2}})?)?)$')
            THEN try_cast(written AS TIMESTAMPTZ)
        ELSE timezone({timezone}, try_cast(written AS TIMESTAMP))
    END;

-- The value of a number field. NULL if it is none, or none that can be counted with: NaN, Infinity, 1E+400.
CREATE OR REPLACE MACRO number_of(written) AS
    CASE WHEN isfinite(try_cast(written AS DOUBLE)) THEN try_cast(written AS DOUBLE) END;

-- The status of a broadcast or of a flow start, in the words of newer servers. Not of a message, which can be just sent.
CREATE OR REPLACE MACRO current_status(status) AS
    CASE WHEN status IN ('sent', 'complete') THEN 'completed' WHEN status = 'starting' THEN 'started' ELSE status END;
