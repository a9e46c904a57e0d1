-- What users downloaded, by day (UTC). Everybody who did not sign in is the user ''.
-- `bytes` went through us; `linked_bytes` is what signed links to S3 were given for, whoever fetched them how often.
CREATE TABLE distribution.volume (
    user_name    text NOT NULL,
    day          date NOT NULL,
    downloads    bigint NOT NULL CHECK (downloads >= 0),
    bytes        bigint NOT NULL CHECK (bytes >= 0),
    links        bigint NOT NULL CHECK (links >= 0),
    linked_bytes bigint NOT NULL CHECK (linked_bytes >= 0),
    refused      bigint NOT NULL CHECK (refused >= 0),
    PRIMARY KEY (user_name, day)
);
CREATE INDEX volume_day ON distribution.volume (day);

-- Slots: a user may have so many downloads at the same time, whichever API process sends them. A slot is an advisory
-- lock of the session that each of these processes keeps: it is free when the process gives it back, or is no more.
-- A session gets a lock of its own again: processes ask for keys that they do not have.
CREATE FUNCTION distribution.take_slot(keys int[]) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    key int;
BEGIN
    FOREACH key IN ARRAY keys LOOP
        IF pg_try_advisory_lock(1919247987, key) THEN
            RETURN key;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE FUNCTION distribution.free_slot(key int) RETURNS boolean LANGUAGE sql AS $$
    SELECT pg_advisory_unlock(1919247987, key)
$$;

CREATE FUNCTION distribution.slots_taken() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM pg_locks
     WHERE locktype = 'advisory' AND classid = 1919247987 AND objsubid = 2 AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
$$;

-- What lies in a folder of a product: names, sizes (of files) and how many children each has, by name. `scanned` is how
-- the paths looked at begin, the first `skipped` characters of them lie above the folder; `wanted` is the one name that
-- is wanted, or NULL. Planned for each folder: the index on paths is used where the database's collation allows it.
CREATE FUNCTION distribution.children(content bigint, scanned text, skipped int, wanted text)
RETURNS TABLE (name text, size bigint, children bigint) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN QUERY
    SELECT n.name, coalesce(max(n.size) FILTER (WHERE n.below = ''), 0), count(*) FILTER (WHERE n.below <> '')
      FROM (SELECT split_part(rest, '/', 1) AS name, split_part(rest, '/', 2) AS below, max(f.size) AS size
              FROM catalogue.file f, substr(f.path, skipped + 1) AS rest
             WHERE f.content_id = content AND f.path ^@ scanned
             GROUP BY 1, 2) n
     WHERE wanted IS NULL OR n.name = wanted
     GROUP BY n.name
     ORDER BY n.name COLLATE "C";
END $$;
