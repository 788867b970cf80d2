-- What Rapidlake has learned from the rows, to name and to type what analysts see. Each look adds what is new.
CREATE TABLE _look (
    fingerprint VARCHAR NOT NULL,
    snapshot BIGINT NOT NULL,
    looked_on TIMESTAMPTZ NOT NULL
);

COMMENT ON TABLE _look IS 'One row: up to which snapshot the rows have been looked through for names, results and digits.';
COMMENT ON COLUMN _look.fingerprint IS 'Digest of the views and of what is learned, as the version that looked knows them.';
COMMENT ON COLUMN _look.snapshot IS 'Last snapshot that was looked at.';
COMMENT ON COLUMN _look.looked_on IS 'When that look began (UTC).';

CREATE TABLE _known_names (
    kind VARCHAR NOT NULL,
    uuid UUID NOT NULL,
    name VARCHAR NOT NULL,
    seen_on TIMESTAMPTZ
);

COMMENT ON TABLE _known_names IS 'The best name known of each thing that rows refer to, also after the server deleted it.';
COMMENT ON COLUMN _known_names.kind IS 'flow, channel, group, label or topic.';
COMMENT ON COLUMN _known_names.uuid IS 'UUID of the thing; with kind the key.';
COMMENT ON COLUMN _known_names.name IS 'Its last name; the one that the server gives a deleted thing only if no other was ever seen.';
COMMENT ON COLUMN _known_names.seen_on IS 'When it had that name (UTC).';

CREATE TABLE _result_keys (
    flow_uuid UUID NOT NULL,
    key VARCHAR NOT NULL,
    name VARCHAR
);

COMMENT ON TABLE _result_keys IS 'Every result ever seen in a run or a definition of a flow; none is forgotten when the flow changes.';
COMMENT ON COLUMN _result_keys.flow_uuid IS 'flows.uuid of the flow.';
COMMENT ON COLUMN _result_keys.key IS 'Key in runs.results; with flow_uuid the key.';
COMMENT ON COLUMN _result_keys.name IS 'Name of the result as people see it.';

CREATE TABLE _number_digits (
    key VARCHAR NOT NULL,
    whole INTEGER NOT NULL,
    decimals INTEGER NOT NULL
);

COMMENT ON TABLE _number_digits IS 'How many digits the values of each number field need, which decides on the type of its column.';
COMMENT ON COLUMN _number_digits.key IS 'fields.key of the field; the key.';
COMMENT ON COLUMN _number_digits.whole IS 'Most digits ever seen before the decimal point.';
COMMENT ON COLUMN _number_digits.decimals IS 'Most digits ever seen after it.';

CREATE TABLE _given_names (
    scope VARCHAR NOT NULL,
    key VARCHAR NOT NULL,
    name VARCHAR NOT NULL
);

COMMENT ON TABLE _given_names IS 'Names given to views and columns. A name once given stays, whatever the thing is called later.';
COMMENT ON COLUMN _given_names.scope IS 'results: views of flows. contacts_wide: columns of fields. Else the UUID of a flow: columns of its results.';
COMMENT ON COLUMN _given_names.key IS 'What is named: a flow by its UUID, a field or a result by its key.';
COMMENT ON COLUMN _given_names.name IS 'The name of the view or column.';

CREATE TABLE _views (
    schema VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    digest VARCHAR NOT NULL
);

COMMENT ON TABLE _views IS 'Views that Rapidlake made, and will replace when their SQL changes.';
COMMENT ON COLUMN _views.schema IS 'Schema of the view: main, or results for the views of flows.';
COMMENT ON COLUMN _views.name IS 'Name of the view.';
COMMENT ON COLUMN _views.digest IS 'MD5 of its SQL and its comment.';

CREATE TABLE _group_sizes (
    group_uuid UUID NOT NULL,
    day DATE NOT NULL,
    contacts BIGINT NOT NULL
);

COMMENT ON TABLE _group_sizes IS 'How many contacts groups had: a row for each day on which that changed. The view group_sizes has every day.';
COMMENT ON COLUMN _group_sizes.group_uuid IS 'groups.uuid of the group.';
COMMENT ON COLUMN _group_sizes.day IS 'Day in the workspace''s time zone.';
COMMENT ON COLUMN _group_sizes.contacts IS 'groups.count at the last sync of that day; 0 once the group was deleted.';
