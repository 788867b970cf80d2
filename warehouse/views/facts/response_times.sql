-- First messages in after one out; only messages written since `start` count.
CREATE OR REPLACE MACRO responses_since(start) AS TABLE
SELECT id AS message_id, uuid AS message_uuid, contact_uuid, flow_uuid, asked_on, created_on AS answered_on,
    epoch(created_on - asked_on) AS seconds
FROM (
    SELECT id, uuid, contact_uuid, flow_uuid, direction, created_on, lag(direction) OVER before AS last_direction,
        lag(created_on) OVER before AS asked_on
    FROM messages
    WHERE deleted_on IS NULL AND contact_uuid IS NOT NULL AND created_on >= start
    WINDOW before AS (PARTITION BY contact_uuid ORDER BY created_on, id, uuid)
)
WHERE direction = 'in' AND last_direction = 'out';

CREATE VIEW response_times AS
FROM responses_since('-infinity'::TIMESTAMPTZ);

COMMENT ON VIEW response_times IS
    'How long contacts took to answer: one row per first message in after one out.';
COMMENT ON COLUMN response_times.message_id IS 'messages.id of the answer; null where it has none.';
COMMENT ON COLUMN response_times.message_uuid IS 'messages.uuid of the answer; null where it has none.';
COMMENT ON COLUMN response_times.contact_uuid IS 'contacts.uuid of the contact.';
COMMENT ON COLUMN response_times.flow_uuid IS 'flows.uuid of the flow that the answer went to; null outside flows.';
COMMENT ON COLUMN response_times.asked_on IS 'When the last message out was written (UTC).';
COMMENT ON COLUMN response_times.answered_on IS 'When the answer came (UTC).';
COMMENT ON COLUMN response_times.seconds IS 'Seconds between the two.';
