-- What the views below share, and queries may use too. The time zone is the workspace's.
CREATE OR REPLACE MACRO local_time(moment) AS timezone({timezone}, moment::TIMESTAMPTZ);

-- The value of a datetime field; one without an offset is read in the workspace's time zone. NULL if it is none.
CREATE OR REPLACE MACRO time_of(written) AS
    CASE
        WHEN regexp_matches(written, ':[0-9.:]+ ?(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$') THEN try_cast(written AS TIMESTAMPTZ)
        ELSE timezone({timezone}, try_cast(written AS TIMESTAMP))
    END;
