-- The operator's control: rules in force, lineage, changes of what is published, and an audit trail of it all.

-- A rule says something of the products that it applies to, until it is lifted. A column that is NULL applies to all.
--   ban         no selection takes this product as an input
--   pin         selections take this product wherever it is a candidate
--   activate    selections take this product for sensing times from `sensing_from` on only
--               (platform and sensing times of these two are those of what is processed, not of the input itself)
--   visibility  who sees the products, whatever their type says; the newest rule counts
--   hold        the products are not published
CREATE TABLE catalogue.rule (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('ban', 'pin', 'activate', 'visibility', 'hold')),
    name          text,
    collection    text,
    product_type  text,
    platform      text,
    sensing_from  timestamptz,
    sensing_until timestamptz,
    visibility    text CHECK (visibility IN ('internal', 'role', 'public')),
    reason        text NOT NULL CHECK (reason <> ''),
    author        text NOT NULL CHECK (author <> ''),
    made_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    lifted_at     timestamptz,
    lifted_by     text,
    lift_reason   text,
    CHECK ((kind = 'visibility') = (visibility IS NOT NULL)),
    CHECK (kind NOT IN ('ban', 'pin', 'activate') OR name IS NOT NULL),
    CHECK (kind <> 'activate' OR sensing_from IS NOT NULL),
    CHECK (num_nonnulls(name, collection, product_type, platform, sensing_from, sensing_until) > 0),
    CHECK (sensing_from < sensing_until),
    CHECK (num_nonnulls(lifted_at, lifted_by, lift_reason) IN (0, 3))
);
CREATE INDEX rule_in_force ON catalogue.rule (kind, name) WHERE lifted_at IS NULL;

-- Whether a rule applies to a product of these properties. The planner puts it in line.
CREATE FUNCTION catalogue.applies(r catalogue.rule, of_name text, of_collection text, of_type text, of_platform text,
                                  of_start timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (r.name IS NULL OR r.name = of_name)
       AND (r.collection IS NULL OR r.collection = of_collection)
       AND (r.product_type IS NULL OR r.product_type = of_type)
       AND (r.platform IS NULL OR r.platform = of_platform)
       AND (r.sensing_from IS NULL OR of_start >= r.sensing_from)
       AND (r.sensing_until IS NULL OR of_start < r.sensing_until)
$$;

-- Who did what to which products, and why. Never changed, never deleted.
CREATE TABLE catalogue.audit (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    author   text NOT NULL CHECK (author <> ''),
    action   text NOT NULL CHECK (action <> ''),
    reason   text NOT NULL CHECK (reason <> ''),
    details  jsonb NOT NULL DEFAULT '{}',
    rule_id  bigint REFERENCES catalogue.rule
);
CREATE TABLE catalogue.audited (
    audit_id bigint NOT NULL REFERENCES catalogue.audit,
    name     text NOT NULL,
    PRIMARY KEY (audit_id, name)
);
CREATE INDEX audited_name ON catalogue.audited (name);

-- Lineage: from which products a product was made. Both are revisions.
CREATE TABLE catalogue.input (
    product_id uuid NOT NULL REFERENCES catalogue.product ON DELETE CASCADE,
    input_id   uuid NOT NULL,
    PRIMARY KEY (product_id, input_id)
);
CREATE INDEX input_of ON catalogue.input (input_id);
ALTER TABLE catalogue.content ADD COLUMN inputs uuid[] NOT NULL DEFAULT '{}';

-- How far readers of the change feed have come.
CREATE TABLE catalogue.cursor (
    name     text PRIMARY KEY CHECK (name <> ''),
    position bigint NOT NULL DEFAULT 0 CHECK (position >= 0),
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The feed's lock, until the transaction ends: whoever has it is the only one who publishes. Tells where the feed is:
-- the positions behind the last one, and the instants from this one on, are the caller's.
CREATE FUNCTION catalogue.lock_feed(OUT last_position bigint, OUT instant timestamptz) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7310298240581);
    -- a new snapshot: what others published before we got the lock is visible to the statements below
    SELECT coalesce(max(c.position), 0), greatest(clock_timestamp(), max(c.at) + interval '1 microsecond')
      INTO last_position, instant
      FROM (SELECT position, at FROM catalogue.change ORDER BY position DESC LIMIT 1) c;
END $$;

-- What waits for publication, for whoever ends a hold.
CREATE INDEX product_packaged ON catalogue.product (name) WHERE state = 'packaged';

-- As in 0010, but no product that a hold applies to.
CREATE OR REPLACE FUNCTION catalogue.publish(wanted uuid, wanted_content bigint)
RETURNS TABLE (published_at timestamptz, feed_position bigint, replaced uuid) LANGUAGE plpgsql AS $$
DECLARE
    product_name text;
    next_position bigint;
    instant timestamptz;
    old uuid;
BEGIN
    SELECT f.last_position + 1, f.instant INTO next_position, instant FROM catalogue.lock_feed() f;
    UPDATE catalogue.product p
       SET state = 'published', published_at = instant, modified_at = instant, feed_position = next_position
     WHERE p.id = wanted AND p.content_id = wanted_content AND p.state = 'packaged'
       AND NOT EXISTS (
           SELECT FROM catalogue.rule r WHERE r.kind = 'hold' AND r.lifted_at IS NULL
              AND catalogue.applies(r, p.name, p.collection, p.product_type, p.platform, p.sensing_start))
    RETURNING p.name INTO product_name;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO catalogue.change (position, at, kind, product_id) VALUES (next_position, instant, 'created', wanted);
    FOR old IN
        UPDATE catalogue.product p
           SET state = 'superseded', deleted_at = instant, modified_at = instant,
               deletion_cause = 'Obsolete product or Other'
         WHERE p.name = product_name AND p.id <> wanted AND p.state = 'published'
        RETURNING p.id
    LOOP
        next_position := next_position + 1;
        instant := instant + interval '1 microsecond';
        INSERT INTO catalogue.change (position, at, kind, product_id, cause)
        VALUES (next_position, instant, 'superseded', old, 'Obsolete product or Other');
        replaced := old;
    END LOOP;
    RETURN QUERY SELECT p.published_at, p.feed_position, replaced FROM catalogue.product p WHERE p.id = wanted;
END $$;

-- Change published products and tell it to the feed: `modified` (only its date changes here), `withdrawn` and
-- `superseded` (users see them among the deleted ones, with the cause), `created` (what was withdrawn comes back, as
-- if published now). Products that are not in the state for it are left alone; returns the changed ones.
-- Takes the feed's lock, hence it is called at the end of its transaction (architecture 5).
CREATE FUNCTION catalogue.announce(ids uuid[], what text, why text)
RETURNS TABLE (product_id uuid, feed_position bigint) LANGUAGE plpgsql AS $$
DECLARE
    last_position bigint;
    instant timestamptz;
BEGIN
    IF what NOT IN ('modified', 'withdrawn', 'superseded', 'created') THEN
        RAISE EXCEPTION 'products cannot be announced as %', what;
    END IF;
    SELECT f.last_position, f.instant INTO last_position, instant FROM catalogue.lock_feed() f;
    RETURN QUERY
    WITH wanted AS (
        SELECT p.id, row_number() OVER (ORDER BY p.name, p.revision) AS n
          FROM catalogue.product p
         WHERE p.id = ANY (ids) AND p.state = CASE what WHEN 'created' THEN 'withdrawn' ELSE 'published' END
           -- what was withdrawn comes back only where no later revision is published
           AND (what <> 'created' OR p.current)
    ), changed AS (
        UPDATE catalogue.product p
           SET state = CASE what WHEN 'modified' THEN p.state WHEN 'created' THEN 'published' ELSE what END,
               modified_at = instant + (n - 1) * interval '1 microsecond',
               published_at = CASE what WHEN 'created' THEN instant + (n - 1) * interval '1 microsecond'
                                        ELSE p.published_at END,
               feed_position = CASE what WHEN 'created' THEN last_position + n ELSE p.feed_position END,
               deleted_at = CASE WHEN what IN ('withdrawn', 'superseded')
                                 THEN instant + (n - 1) * interval '1 microsecond' END,
               deletion_cause = CASE WHEN what IN ('withdrawn', 'superseded') THEN why END
          FROM wanted WHERE p.id = wanted.id
        RETURNING p.id, last_position + n AS position, p.modified_at AS at
    ), told AS (
        INSERT INTO catalogue.change (position, at, kind, product_id, cause)
        SELECT position, at, what, id, why FROM changed
    )
    SELECT id, position FROM changed ORDER BY position;
END $$;
