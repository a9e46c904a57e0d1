-- What operators do: parked steps restarted, resubmitted or deleted, and steps made of events of the past.
--
-- The functions for parked steps take any ids and answer with one row for each that was parked (others have no row):
--     restarted, resubmitted, deleted   done; `other` is the new step of a resubmitted one
--     superseded                        `other`, which has the same stage and key and is due already, does it
--     blocked                           nothing was done: `other` is due already and must run first
-- They work on the newest first: of two parked steps with one key the newer input is the one that runs.

-- End a parked step without its being done. What would be lost with it is kept.
CREATE FUNCTION work.retire(step work.step, with_outcome text, successor bigint, author text, reason text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM work.step s WHERE s.id = step.id;
    INSERT INTO work.history (step_id, stage, key, created_at, started_at, attempts, outcome, detail)
    VALUES (step.id, step.stage, step.key, step.created_at, step.started_at, step.attempts, with_outcome,
            jsonb_build_object(
                'by', successor, 'author', author, 'reason', reason, 'parked_at', step.parked_at, 'worker', step.worker,
                'priority', step.priority, 'version', step.version, 'payload', step.payload, 'error', step.error,
                'log', to_jsonb(step.log)));
END $$;

-- The due step that a parked one of the same stage and key meets; no row where there is none. It supersedes the parked
-- one if it has the same input or was made later. Else nobody can tell whose input is the newer one.
CREATE FUNCTION work.meet(step work.step, OUT due_id bigint, OUT outcome text) LANGUAGE plpgsql AS $$
DECLARE
    due work.step;
BEGIN
    SELECT * INTO due FROM work.step s
     WHERE s.stage = step.stage AND s.key = step.key AND s.state = 'due' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    due_id := due.id;
    outcome := 'blocked';
    IF due.id > step.id OR due.payload = step.payload THEN
        outcome := 'superseded';
        IF due.priority < step.priority THEN
            UPDATE work.step s SET priority = step.priority WHERE s.id = due.id;
            PERFORM work.carry(due.id, due.stage, step.priority, due.not_before);
        END IF;
    END IF;
END $$;

-- Make parked steps due again, their attempts counted anew. They wait from now on, not since they were created, hence
-- `not_before`; their place in the queue is at once, whatever the clock says.
CREATE FUNCTION work.restart(ids bigint[], author text, reason text)
RETURNS TABLE (step_id bigint, outcome text, other bigint) LANGUAGE plpgsql AS $$
DECLARE
    step work.step;
    moment timestamptz;
    told text;
BEGIN
    FOR step IN
        SELECT * FROM work.step s WHERE s.id = ANY (ids) AND s.state = 'parked' ORDER BY s.id DESC FOR UPDATE
    LOOP
        LOOP
            step_id := step.id;
            SELECT m.outcome, m.due_id INTO outcome, other FROM work.meet(step) m;
            EXIT WHEN other IS NOT NULL;
            moment := clock_timestamp();
            told := to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || ' restarted by ' || author
                    || CASE WHEN reason = '' THEN '' ELSE ': ' || reason END;
            BEGIN
                UPDATE work.step s
                   SET state = 'due', attempts = 0, parked_at = NULL, not_before = moment, deferred_at = moment,
                       log = (s.log || told)[greatest(1, cardinality(s.log) - 198):]
                 WHERE s.id = step.id;
                PERFORM work.carry(step.id, step.stage, step.priority, NULL);
                outcome := 'restarted';
                EXIT;
            EXCEPTION WHEN unique_violation THEN
                -- another one became due meanwhile: meet it
                NULL;
            END;
        END LOOP;
        IF outcome = 'superseded' THEN
            PERFORM work.retire(step, 'superseded', other, author, reason);
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- Replace parked steps by new ones of the same stage and input.
CREATE FUNCTION work.resubmit(ids bigint[], author text, reason text)
RETURNS TABLE (step_id bigint, outcome text, other bigint) LANGUAGE plpgsql AS $$
DECLARE
    step work.step;
BEGIN
    FOR step IN
        SELECT * FROM work.step s WHERE s.id = ANY (ids) AND s.state = 'parked' ORDER BY s.id DESC FOR UPDATE
    LOOP
        LOOP
            step_id := step.id;
            SELECT m.outcome, m.due_id INTO outcome, other FROM work.meet(step) m;
            EXIT WHEN other IS NOT NULL;
            INSERT INTO work.step AS s (stage, key, payload, priority, version)
            VALUES (step.stage, step.key, step.payload, step.priority, step.version)
            ON CONFLICT (stage, key) WHERE state = 'due' DO NOTHING
            RETURNING s.id INTO other;
            CONTINUE WHEN other IS NULL;
            PERFORM work.carry(other, step.stage, step.priority, NULL);
            outcome := 'resubmitted';
            EXIT;
        END LOOP;
        IF outcome <> 'blocked' THEN
            PERFORM work.retire(step, outcome, other, author, reason);
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- Replace parked steps by steps of an earlier stage, made of these events (one for each id, of the same key).
CREATE FUNCTION work.resubmit_from(ids bigint[], events bigint[], from_stage text, author text, reason text)
RETURNS TABLE (step_id bigint, outcome text, other bigint) LANGUAGE plpgsql AS $$
DECLARE
    step work.step;
    happened work.event;
BEGIN
    FOR step IN
        SELECT * FROM work.step s WHERE s.id = ANY (ids) AND s.state = 'parked' ORDER BY s.id DESC FOR UPDATE
    LOOP
        SELECT e.* INTO happened FROM work.event e
         WHERE e.id = events[array_position(ids, step.id)] AND e.key = step.key;
        CONTINUE WHEN NOT FOUND;
        other := work.enqueue(from_stage, happened.key, happened.payload, greatest(happened.priority, step.priority), NULL,
                           happened.version);
        step_id := step.id;
        outcome := 'resubmitted';
        PERFORM work.retire(step, outcome, other, author, reason);
        RETURN NEXT;
    END LOOP;
END $$;

-- End parked steps that shall not be done.
CREATE FUNCTION work.drop_parked(ids bigint[], author text, reason text)
RETURNS TABLE (step_id bigint, outcome text, other bigint) LANGUAGE plpgsql AS $$
DECLARE
    step work.step;
BEGIN
    FOR step IN
        SELECT * FROM work.step s WHERE s.id = ANY (ids) AND s.state = 'parked' ORDER BY s.id DESC FOR UPDATE
    LOOP
        step_id := step.id;
        outcome := 'deleted';
        PERFORM work.retire(step, outcome, NULL, author, reason);
        RETURN NEXT;
    END LOOP;
END $$;

-- Make the steps of one stage that these events would have made, each at most with this priority. A step that is due
-- already is left alone: its input is the newer one. Returns how many were made.
CREATE FUNCTION work.replay(to_stage text, events bigint[], most_priority int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    steps int;
BEGIN
    WITH made AS (
        INSERT INTO work.step AS s (stage, key, payload, priority, version)
        SELECT to_stage, e.key, e.payload, least(e.priority, most_priority), e.version
          FROM work.event e WHERE e.id = ANY (events) ORDER BY e.id
        ON CONFLICT (stage, key) WHERE state = 'due' DO NOTHING
        RETURNING s.id, s.priority
    ), carried AS (
        INSERT INTO work.pgqueuer (priority, entrypoint, payload, execute_after, dedupe_key, headers, status)
        SELECT m.priority, to_stage, convert_to(m.id::text, 'UTF8'), 'epoch', m.id::text, 'null', 'queued'
          FROM made m ORDER BY m.id
        RETURNING 1
    )
    SELECT count(*) INTO steps FROM carried;
    IF steps > 0 THEN
        PERFORM work.wake(to_stage);
    END IF;
    RETURN steps;
END $$;
