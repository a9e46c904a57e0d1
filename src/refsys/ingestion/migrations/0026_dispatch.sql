-- How inboxes enter, queue, claim and count what they remember.
DROP FUNCTION ingestion.enter(text, jsonb);
DROP FUNCTION ingestion.dispatch(text, text, int, int);

ALTER TABLE ingestion.inbox
    ADD COLUMN rules jsonb;                              -- by which its offers were judged last
ALTER TABLE ingestion.remote
    ADD COLUMN token uuid,                               -- fetching: of the attempt that does
    ADD COLUMN fetch_s real,                             -- stored: seconds from its claim until then
    ADD COLUMN is_near boolean NOT NULL DEFAULT false;   -- the alarm was given that the station deletes it soon
CREATE INDEX remote_evicted ON ingestion.remote (inbox, evicted_at)
    WHERE evicted_at IS NOT NULL AND state IN ('seen', 'waiting', 'queued', 'fetching', 'failed');
CREATE SEQUENCE ingestion.group_number;

-- ---------------------------------------------------------------------------------------------------------------
-- Counting: what every statement changes is noted and added up later, so that no two writers wait for each other.
-- ---------------------------------------------------------------------------------------------------------------

-- The sum of `files` is how many rows are in a state now; `entered` and `bytes` how many, of what size, ever came to it.
CREATE TABLE ingestion.tally (
    inbox   text NOT NULL,
    state   text NOT NULL,
    files   bigint NOT NULL,
    entered bigint NOT NULL,
    bytes   numeric NOT NULL
);
INSERT INTO ingestion.tally
SELECT r.inbox, r.state, count(*), count(*), coalesce(sum(r.size), 0) FROM ingestion.remote r GROUP BY r.inbox, r.state;

CREATE FUNCTION ingestion.count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO ingestion.tally
        SELECT n.inbox, n.state, count(*), count(*), coalesce(sum(n.size), 0) FROM new_rows n GROUP BY n.inbox, n.state;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO ingestion.tally
        SELECT o.inbox, o.state, -count(*), 0, 0 FROM old_rows o GROUP BY o.inbox, o.state;
    ELSE
        INSERT INTO ingestion.tally
        SELECT c.inbox, c.state, sum(c.files), sum(c.entered), sum(c.bytes)
          FROM (SELECT n.inbox, o.state AS was, n.state AS now, n.size FROM new_rows n JOIN old_rows o USING (id)
                 WHERE n.state <> o.state) changed,
               LATERAL (VALUES (changed.inbox, changed.was, -1, 0, 0), (changed.inbox, changed.now, 1, 1, coalesce(changed.size, 0)))
                        AS c(inbox, state, files, entered, bytes)
         GROUP BY c.inbox, c.state;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_in AFTER INSERT ON ingestion.remote REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ingestion.count_rows();
CREATE TRIGGER count_on AFTER UPDATE ON ingestion.remote REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ingestion.count_rows();
CREATE TRIGGER count_out AFTER DELETE ON ingestion.remote REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ingestion.count_rows();

-- Each inbox with its files by state, and how long ago the oldest one was found that is wanted and not stored.
CREATE VIEW ingestion.inbox_state AS
SELECT i.*, coalesce(t.states, '{}') AS states, coalesce(t.expired, 0) AS expired_total,
       coalesce(t.bytes, 0)::bigint AS fetched_bytes,
       (SELECT count(*) FROM ingestion.remote r WHERE r.inbox = i.id AND r.is_near
           AND r.state IN ('seen', 'waiting', 'queued', 'fetching', 'failed')) AS near,
       (SELECT extract(epoch FROM clock_timestamp() - min(r.found_at))::float8 FROM ingestion.remote r
         WHERE r.inbox = i.id AND r.state IN ('waiting', 'queued', 'fetching')) AS lag_s
  FROM ingestion.inbox i
  LEFT JOIN (SELECT s.inbox, jsonb_object_agg(s.state, s.files) AS states,
                    sum(s.entered) FILTER (WHERE s.state = 'expired')::bigint AS expired,
                    sum(s.bytes) FILTER (WHERE s.state = 'stored') AS bytes
               FROM (SELECT inbox, state, sum(files)::bigint AS files, sum(entered) AS entered, sum(bytes) AS bytes
                       FROM ingestion.tally GROUP BY inbox, state) s
              GROUP BY s.inbox) t ON t.inbox = i.id;

-- ---------------------------------------------------------------------------------------------------------------
-- Entering
-- ---------------------------------------------------------------------------------------------------------------

-- The key of the step that fetches a file: a session and its retransfer have files of the same names.
CREATE FUNCTION ingestion.step_key(file ingestion.remote) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE WHEN file.retransfer THEN file.product || ' (retransfer)' ELSE file.product END
$$;

-- End the parked steps that these files have: what they were to do is no longer to be done.
CREATE FUNCTION ingestion.drop_parked(files bigint[], because text) RETURNS void LANGUAGE sql AS $$
    SELECT work.drop_parked(ARRAY(
        SELECT s.id FROM work.step s
          JOIN ingestion.remote r ON s.stage = 'ingestion.fetch.' || r.inbox AND s.key = ingestion.step_key(r)
         WHERE r.id = ANY (files) AND s.state = 'parked' AND s.payload = jsonb_build_object('remote_id', r.id)),
        'ingestion', because)
$$;

-- One at a time enters for an inbox; to be called first in a transaction that looks what is known and enters the rest.
-- Plans are made anew in it: one that was made while the table was nearly empty reads all of it for each page.
CREATE FUNCTION ingestion.lock_inbox(of_inbox text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ingestion.inbox ' || of_inbox, 0));
    PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
END $$;

-- Enter offers that are judged (`state`: seen, waiting, filtered) and not known yet; those with an `id` are rows that
-- were `seen` and move on, perhaps in another version. What was offered before with the same content makes a duplicate;
-- what was not brought of a name is superseded where the name comes again. Returns how many rows are new.
CREATE FUNCTION ingestion.enter(of_inbox text, offers jsonb) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    fresh bigint[];
    entered bigint[];
    passed bigint[];
BEGIN
    WITH offered AS MATERIALIZED (
        SELECT * FROM ROWS FROM (jsonb_to_recordset(offers) AS (
            id bigint, remote_id text, version text, name text, product text, path text, state text, why text,
            size bigint, checksums jsonb, published_at timestamptz, origin_at timestamptz, evicted_at timestamptz,
            priority int, session_name text, retransfer boolean, channel int, block int, is_final boolean))
          WITH ORDINALITY AS o(id, remote_id, version, name, product, path, state, why, size, checksums, published_at,
                               origin_at, evicted_at, priority, session_name, retransfer, channel, block, is_final,
                               place)
    ), moved AS (
        UPDATE ingestion.remote r
           SET version = o.version, name = o.name, product = o.product, path = o.path, state = o.state, why = o.why,
               size = o.size, checksums = o.checksums, published_at = o.published_at, origin_at = o.origin_at,
               evicted_at = o.evicted_at, priority = o.priority, session_name = o.session_name,
               retransfer = o.retransfer, channel = o.channel, block = o.block, is_final = o.is_final,
               state_at = CASE WHEN r.state = o.state THEN r.state_at ELSE clock_timestamp() END
          FROM offered o WHERE r.id = o.id AND r.state = 'seen'
        RETURNING r.id
    ), added AS (
        INSERT INTO ingestion.remote (
            inbox, remote_id, version, name, product, path, state, why, size, checksums, published_at, origin_at,
            evicted_at, priority, session_name, retransfer, channel, block, is_final)
        SELECT of_inbox, o.remote_id, o.version, o.name, o.product, o.path, o.state, o.why, o.size, o.checksums,
               o.published_at, o.origin_at, o.evicted_at, o.priority, o.session_name, o.retransfer, o.channel, o.block,
               o.is_final
          FROM offered o WHERE o.id IS NULL ORDER BY o.place
        ON CONFLICT DO NOTHING
        RETURNING id
    )
    SELECT ARRAY(SELECT id FROM added), ARRAY(SELECT id FROM added UNION ALL SELECT id FROM moved) INTO fresh, entered;

    -- `state || ''`: rows are to be found by their ids and names; of a backlog an index by states would be read whole

    UPDATE ingestion.remote r
       SET state = 'duplicate', why = CASE WHEN r.checksums <> '{}' THEN 'name, size and checksum'
                                           ELSE 'name, size and publication' END || ' are those of offer ' || d.twin,
           state_at = clock_timestamp()
      FROM (SELECT n.id, min(t.id) AS twin
              FROM ingestion.remote n
              JOIN ingestion.remote t
                ON t.inbox = n.inbox AND t.product = n.product AND t.retransfer = n.retransfer AND t.size = n.size
               AND t.checksums = n.checksums AND t.id <> n.id AND (t.id < n.id OR t.id <> ALL (entered))
               AND t.state || '' IN ('waiting', 'queued', 'fetching', 'stored')
             WHERE n.id = ANY (entered) AND n.state || '' = 'waiting'
               AND (n.checksums <> '{}' OR (n.session_name IS NOT NULL AND t.published_at = n.published_at))
             GROUP BY n.id) d
     WHERE r.id = d.id;

    WITH newest AS (
        SELECT DISTINCT ON (n.product, n.retransfer) n.*
          FROM ingestion.remote n WHERE n.id = ANY (entered) AND n.state || '' IN ('waiting', 'seen')
         ORDER BY n.product, n.retransfer, n.state = 'waiting' DESC, n.id DESC
    ), gone AS (
        UPDATE ingestion.remote r
           SET state = 'superseded', why = 'offer ' || n.id || ' has the same name', token = NULL,
               state_at = clock_timestamp()
          FROM newest n
         WHERE r.inbox = of_inbox AND r.product = n.product AND r.retransfer = n.retransfer AND r.id <> n.id
           AND (r.id < n.id OR r.id <> ALL (entered))
           AND (r.remote_id = n.remote_id OR n.state = 'waiting' AND r.state <> 'seen')
           AND r.state || '' IN ('seen', 'waiting', 'queued', 'fetching', 'failed')
        RETURNING r.id
    )
    SELECT ARRAY(SELECT id FROM gone) INTO passed;
    IF cardinality(passed) > 0 THEN
        PERFORM ingestion.drop_parked(passed, 'a newer version of the file was offered');
    END IF;
    RETURN cardinality(fresh);
END $$;

-- ---------------------------------------------------------------------------------------------------------------
-- Queueing and claiming. Files of sessions have one identity across inboxes: whoever queues or claims one holds a lock,
-- so that never two bring the same file.
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION ingestion.lock_sessions() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ingestion.sessions', 0));
    PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
END $$;

-- The kind and number in the name of a session's file: DSDB_00001, DSIB.
CREATE FUNCTION ingestion.piece(name text) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT upper(substring(name FROM '(?i)_(DSDB_[0-9]+|DSIB)[.]'))
$$;

-- The rows that other inboxes have of a session's file: of the same size, or one that nobody knows. Stations count
-- blocks in their own ways, so that both the block and the number in the name have to agree.
CREATE FUNCTION ingestion.elsewhere(file ingestion.remote) RETURNS SETOF ingestion.remote STABLE LANGUAGE sql AS $$
    SELECT t.* FROM ingestion.remote t
     WHERE t.session_name = file.session_name AND t.retransfer = file.retransfer AND t.channel = file.channel
       AND t.block = file.block AND t.inbox <> file.inbox
       AND ingestion.piece(t.name) IS NOT DISTINCT FROM ingestion.piece(file.name)
       AND (t.size = file.size OR t.size IS NULL OR file.size IS NULL)
$$;

-- Whether another inbox brings a session's file, or is about to: one that is paused, or whose looks fail, or that has
-- not come to it for half an hour, is not waited for.
CREATE FUNCTION ingestion.is_elsewhere(file ingestion.remote) RETURNS boolean STABLE LANGUAGE plpgsql AS $$
BEGIN
    RETURN file.session_name IS NOT NULL AND EXISTS (
        SELECT FROM ingestion.elsewhere(file) t JOIN ingestion.inbox i ON i.id = t.inbox
         WHERE t.state = 'fetching'
            OR t.state = 'queued' AND i.paused_at IS NULL AND i.failures < 3
               AND t.state_at > clock_timestamp() - interval '30 minutes');
END $$;

-- Make duplicates of those that another inbox has stored; returns the others.
CREATE FUNCTION ingestion.without_stored(files bigint[]) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    twins bigint[];
BEGIN
    WITH found AS (
        SELECT r.id, (SELECT 'stored from offer ' || t.id || ' of inbox ' || t.inbox FROM ingestion.elsewhere(r) t
                       WHERE t.state = 'stored' ORDER BY t.id LIMIT 1) AS because
          FROM ingestion.remote r WHERE r.id = ANY (files) AND r.session_name IS NOT NULL
    ), changed AS (
        UPDATE ingestion.remote r
           SET state = 'duplicate', why = f.because, token = NULL, not_before = NULL, state_at = clock_timestamp()
          FROM found f WHERE r.id = f.id AND f.because IS NOT NULL
        RETURNING r.id
    )
    SELECT ARRAY(SELECT id FROM changed) INTO twins;
    RETURN ARRAY(SELECT f.id FROM unnest(files) WITH ORDINALITY AS f(id, place) WHERE f.id <> ALL (twins) ORDER BY place);
END $$;

-- Queue up to `most` waiting offers: those that the station deletes within `guard` first of all (`near_only`: no
-- others), then the most urgent; a quarter of the places is kept for the backlog as long as there is any. Up to
-- `group_most` files of at most `group_bytes` come in one step. Returns how many were queued.
CREATE FUNCTION ingestion.dispatch(
    of_inbox text, most int, backlog_priority int, near_priority int, guard interval, near_only boolean, group_most int,
    group_bytes bigint)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    near bigint[];
    chosen bigint[] := '{}';
    queued int;
BEGIN
    PERFORM ingestion.lock_sessions();
    near := ARRAY(
        SELECT r.id FROM ingestion.remote r
         WHERE r.inbox = of_inbox AND r.state = 'waiting' AND r.evicted_at < moment + guard
           AND (r.evicted_at > moment OR r.tries = 0)
           AND (r.not_before IS NULL OR r.not_before <= moment) AND NOT ingestion.is_elsewhere(r)
         ORDER BY r.evicted_at, r.id LIMIT most FOR UPDATE SKIP LOCKED);
    IF NOT near_only THEN
        chosen := ARRAY(
            SELECT r.id FROM ingestion.remote r
             WHERE r.inbox = of_inbox AND r.state = 'waiting' AND r.priority <= backlog_priority AND r.id <> ALL (near)
               AND (r.not_before IS NULL OR r.not_before <= moment) AND NOT ingestion.is_elsewhere(r)
             ORDER BY r.priority DESC, r.published_at, r.id LIMIT least(greatest(1, most / 4), most - cardinality(near))
               FOR UPDATE SKIP LOCKED);
        chosen := chosen || ARRAY(
            SELECT r.id FROM ingestion.remote r
             WHERE r.inbox = of_inbox AND r.state = 'waiting' AND r.id <> ALL (near || chosen)
               AND (r.not_before IS NULL OR r.not_before <= moment) AND NOT ingestion.is_elsewhere(r)
             ORDER BY r.priority DESC, r.published_at, r.id
             LIMIT greatest(0, most - cardinality(near) - cardinality(chosen)) FOR UPDATE SKIP LOCKED);
    END IF;
    near := ingestion.without_stored(near);
    chosen := ingestion.without_stored(chosen);
    WITH changed AS (
        UPDATE ingestion.remote r SET state = 'queued', not_before = NULL, state_at = clock_timestamp()
         WHERE r.id = ANY (near || chosen)
        RETURNING r.id, ingestion.step_key(r) AS key, array_position(near || chosen, r.id) AS place,
                  CASE WHEN r.id = ANY (near) THEN near_priority ELSE r.priority END AS priority,
                  coalesce(group_most > 1 AND r.size <= group_bytes AND r.session_name IS NULL, false) AS is_small
    ), placed AS (
        SELECT c.*, CASE WHEN c.is_small THEN (row_number() OVER (
                   PARTITION BY c.priority, c.is_small ORDER BY c.place) - 1) / group_most
                    ELSE -c.id END AS part
          FROM changed c
    ), steps AS (
        SELECT p.priority, min(p.key) AS key, array_agg(p.id ORDER BY p.place) AS ids, min(p.place) AS place
          FROM placed p GROUP BY p.priority, p.part
    ), made AS (
        SELECT work.enqueue(
                   'ingestion.fetch.' || of_inbox,
                   CASE WHEN cardinality(s.ids) = 1 THEN s.key ELSE 'group ' || nextval('ingestion.group_number') END,
                   CASE WHEN cardinality(s.ids) = 1 THEN jsonb_build_object('remote_id', s.ids[1])
                        ELSE jsonb_build_object('remote_ids', to_jsonb(s.ids)) END,
                   s.priority, NULL, 1), cardinality(s.ids) AS files
          FROM (SELECT * FROM steps ORDER BY priority DESC, place LIMIT most) s
    )
    SELECT coalesce(sum(files), 0) INTO queued FROM made;
    RETURN queued;
END $$;

-- Take offers for an attempt; returns those that it may fetch. What another inbox brings meanwhile, or the own one while
-- it is paused, waits again.
CREATE FUNCTION ingestion.claim(files bigint[], by_token uuid) RETURNS SETOF ingestion.remote LANGUAGE plpgsql AS $$
DECLARE
    claimed bigint[];
BEGIN
    IF EXISTS (SELECT FROM ingestion.remote r WHERE r.id = ANY (files) AND r.session_name IS NOT NULL) THEN
        PERFORM ingestion.lock_sessions();
    END IF;
    claimed := ARRAY(
        SELECT r.id FROM ingestion.remote r
         WHERE r.id = ANY (files) AND r.state IN ('queued', 'fetching', 'failed') ORDER BY r.id FOR UPDATE);
    -- what is fetched elsewhere is looked at before what is stored: in between it may become stored, never the reverse
    UPDATE ingestion.remote r SET state = 'waiting', token = NULL, state_at = clock_timestamp()
      FROM ingestion.inbox i
     WHERE r.id = ANY (claimed) AND i.id = r.inbox
       AND (i.paused_at IS NOT NULL OR r.session_name IS NOT NULL AND EXISTS (
            SELECT FROM ingestion.elsewhere(r) t WHERE t.state = 'fetching'));
    claimed := ingestion.without_stored(claimed);
    RETURN QUERY
        UPDATE ingestion.remote r
           SET state = 'fetching', token = by_token, tries = r.tries + 1,
               state_at = CASE WHEN r.state = 'fetching' THEN r.state_at ELSE clock_timestamp() END
         WHERE r.id = ANY (claimed) AND r.state IN ('queued', 'fetching', 'failed')
        RETURNING r.*;
END $$;

-- Note that the bytes of files are in the catalogue. Other inboxes need not bring those of sessions any more.
CREATE FUNCTION ingestion.set_stored(files bigint[], as_contents bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    twins bigint[];
BEGIN
    UPDATE ingestion.remote r
       SET state = 'stored', stored_at = clock_timestamp(), state_at = clock_timestamp(), content_id = s.content,
           token = NULL, not_before = NULL, why = '', problem = '',
           fetch_s = extract(epoch FROM clock_timestamp() - r.state_at)
      FROM unnest(files, as_contents) AS s(file, content) WHERE r.id = s.file;
    WITH changed AS (
        UPDATE ingestion.remote r
           SET state = 'duplicate', why = 'stored from offer ' || f.id || ' of inbox ' || f.inbox, not_before = NULL,
               state_at = clock_timestamp()
          FROM ingestion.remote f, ingestion.elsewhere(f) t
         WHERE f.id = ANY (files) AND f.session_name IS NOT NULL AND r.id = t.id
           AND r.state IN ('seen', 'waiting', 'failed', 'expired')
        RETURNING r.id
    )
    SELECT ARRAY(SELECT id FROM changed) INTO twins;
    IF cardinality(twins) > 0 THEN
        PERFORM ingestion.drop_parked(twins, 'the file came from another inbox');
    END IF;
END $$;

-- Files that are queued or being fetched, say their rows, and that no step brings: they wait again, or have failed
-- where their step is parked. Returns how many.
CREATE FUNCTION ingestion.repair(of_inbox text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    repaired int;
BEGIN
    WITH stepped AS MATERIALIZED (
        SELECT e.file, s.state, s.error ->> 'message' AS problem
          FROM work.step s, LATERAL (
               SELECT (s.payload ->> 'remote_id')::bigint AS file WHERE s.payload ? 'remote_id'
               UNION ALL SELECT value::bigint FROM jsonb_array_elements_text(s.payload -> 'remote_ids')) e
         WHERE s.stage = 'ingestion.fetch.' || of_inbox
    ), stranded AS (
        SELECT r.id, max(s.problem) AS problem
          FROM ingestion.remote r LEFT JOIN stepped s ON s.file = r.id
         WHERE r.inbox = of_inbox AND r.state IN ('queued', 'fetching')
           AND r.state_at < clock_timestamp() - interval '1 minute'
         GROUP BY r.id
        HAVING NOT coalesce(bool_or(s.state <> 'parked'), false)
    ), changed AS (
        UPDATE ingestion.remote r
           SET state = CASE WHEN f.problem IS NULL THEN 'waiting' ELSE 'failed' END, token = NULL,
               problem = coalesce(f.problem, r.problem), state_at = clock_timestamp()
          FROM stranded f
         WHERE r.id = f.id AND r.state IN ('queued', 'fetching')
        RETURNING 1
    )
    SELECT count(*) INTO repaired FROM changed;
    -- a step that was parked at the moment at which its file was given up, or came from elsewhere
    PERFORM ingestion.drop_parked(array_agg(r.id), 'it is not to be brought any more')
       FROM work.step s JOIN ingestion.remote r ON r.id = (s.payload ->> 'remote_id')::bigint
      WHERE s.stage = 'ingestion.fetch.' || of_inbox AND s.state = 'parked' AND s.payload ? 'remote_id'
        AND r.state NOT IN ('queued', 'fetching', 'failed')
     HAVING count(*) > 0;
    RETURN repaired;
END $$;
