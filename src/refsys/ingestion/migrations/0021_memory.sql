-- The memory of the remote in full: why a file waits, how often it was tried, when the station gives it up, and of
-- which session it is. One row for each remote file and content version, as before.
--
--   seen        offered, not to be taken yet: empty, growing, not whole; `why` says which; it is looked at again
--   waiting     to be queued: held back as long as enough is queued, storage is nearly full, or until `not_before`
--   queued      a step of the stage `ingestion.fetch.<inbox>` brings it
--   fetching    an attempt brings it just now
--   stored      its bytes lie verified in storage, the catalogue knows: content_id
--   filtered    the inbox's patterns, mission, start date or window leave it alone; `why` says which
--   duplicate   the same file was offered before, here or by another source of its session; `why` says where
--   failed      it cannot be brought: `problem`; a parked step, or an operator, brings it on
--   expired     the station gave it up before it was brought
--   superseded  a newer version of the name was offered before this one was brought
ALTER TABLE ingestion.remote
    ADD COLUMN path text NOT NULL DEFAULT '',            -- what patterns are matched with, where it is not the name
    ADD COLUMN evicted_at timestamptz,                   -- when the station gives it up, in its own clock
    ADD COLUMN tries int NOT NULL DEFAULT 0 CHECK (tries >= 0),
    ADD COLUMN problem text NOT NULL DEFAULT '',         -- of the last try that failed
    ADD COLUMN not_before timestamptz,                   -- waiting: not to be queued earlier
    ADD COLUMN state_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN session_name text,                        -- files of sessions: the session's id, in capitals
    ADD COLUMN retransfer boolean NOT NULL DEFAULT false,
    ADD COLUMN channel int,
    ADD COLUMN block int,                                -- 0 = the channel's DSIB
    ADD COLUMN is_final boolean,                         -- the last block of its channel; null = not said
    DROP CONSTRAINT remote_state_check,
    ADD CONSTRAINT remote_state_check CHECK (state IN
        ('seen', 'waiting', 'queued', 'fetching', 'stored', 'filtered', 'duplicate', 'failed', 'expired', 'superseded')),
    ADD CONSTRAINT remote_session CHECK ((session_name IS NULL) = (channel IS NULL) AND (channel IS NULL) = (block IS NULL));
DO $$
DECLARE
    of_why text;
BEGIN
    SELECT conname INTO STRICT of_why FROM pg_constraint
     WHERE conrelid = 'ingestion.remote'::regclass AND contype = 'c' AND pg_get_constraintdef(oid) LIKE '%why <>%';
    EXECUTE format('ALTER TABLE ingestion.remote DROP CONSTRAINT %I', of_why);
END $$;
ALTER TABLE ingestion.remote ADD CONSTRAINT remote_why CHECK
    ((state IN ('seen', 'filtered', 'duplicate', 'expired', 'superseded')) <= (why <> ''));
CREATE INDEX remote_of_session ON ingestion.remote (session_name, retransfer, channel, block)
    WHERE session_name IS NOT NULL;
CREATE INDEX remote_unsettled ON ingestion.remote (inbox, state)
    WHERE state IN ('seen', 'waiting', 'queued', 'fetching', 'failed');

ALTER TABLE ingestion.inbox
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN paused_why text NOT NULL DEFAULT '',
    ADD COLUMN back_to timestamptz,                      -- an operator's backfill: the next look begins here
    ADD COLUMN reconciled_at timestamptz,
    ADD COLUMN reconciled jsonb;                         -- what the last comparison with the station's count said
