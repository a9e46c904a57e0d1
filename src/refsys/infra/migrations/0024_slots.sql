-- Slots: something may happen so many times at the same time, whichever processes do it: downloads of a user, connections
-- to a station. A slot is an advisory lock (space, key) of the session that each process keeps for this: it is free when
-- the process gives it back, or is no more. A session gets a lock of its own again: processes ask for keys that they do
-- not have. distribution.take_slot and free_slot (0036) are those of one space, and used no more.

-- The first key that is free, taken; NULL where none is, or where another session holds `turn`: it goes first.
CREATE FUNCTION work.take_slot(space int, keys int[], turn int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    key int;
    taken int;
BEGIN
    IF turn IS NOT NULL AND NOT pg_try_advisory_lock(space, turn) THEN
        RETURN NULL;
    END IF;
    FOREACH key IN ARRAY keys LOOP
        IF pg_try_advisory_lock(space, key) THEN
            taken := key;
            EXIT;
        END IF;
    END LOOP;
    IF turn IS NOT NULL THEN
        PERFORM pg_advisory_unlock(space, turn);
    END IF;
    RETURN taken;
END $$;

CREATE FUNCTION work.free_slot(space int, key int) RETURNS boolean LANGUAGE sql AS $$
    SELECT pg_advisory_unlock(space, key)
$$;

-- How many of these keys are taken, by whichever process.
CREATE FUNCTION work.slots_taken(space int, keys int[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM pg_locks
     WHERE locktype = 'advisory' AND classid = space::oid AND objsubid = 2 AND granted
       AND objid = ANY (SELECT (k::bigint & 4294967295)::oid FROM unnest(keys) AS k)
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
$$;
