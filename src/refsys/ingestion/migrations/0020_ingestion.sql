-- Ingestion: the memory of what stations and folders offered.
CREATE SCHEMA ingestion;

-- One row per inbox (by its id, never by its URL): how far into the station's own time it has looked.
CREATE TABLE ingestion.inbox (
    id           text PRIMARY KEY,
    cursor       timestamptz,
    looked_at    timestamptz,
    succeeded_at timestamptz,
    failures     int NOT NULL DEFAULT 0 CHECK (failures >= 0),
    problem      text NOT NULL DEFAULT ''
);

-- One row per remote file and content version. A file that changes is another version of it. `name` is the offered one,
-- `product` the canonical one, by which steps and catalogue know it.
--   waiting     to be queued: held back as long as enough is queued, or storage is nearly full
--   queued      a step of the stage `ingestion.fetch.<inbox>` brings it (or is parked over it)
--   stored      its bytes lie verified in storage, the catalogue knows: content_id
--   filtered    the inbox's patterns, mission or start date leave it alone; `why` says which
--   duplicate   the same name, size and checksum were offered before
--   superseded  a newer version of the name was offered before this one was brought
CREATE TABLE ingestion.remote (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    inbox        text NOT NULL REFERENCES ingestion.inbox,
    remote_id    text NOT NULL,
    version      text NOT NULL,
    name         text NOT NULL,
    product      text NOT NULL,
    state        text NOT NULL CHECK (state IN
                     ('waiting', 'queued', 'stored', 'filtered', 'duplicate', 'superseded')),
    why          text NOT NULL DEFAULT '',
    size         bigint CHECK (size >= 0),
    checksums    jsonb NOT NULL DEFAULT '{}',
    published_at timestamptz,
    origin_at    timestamptz,
    priority     int NOT NULL,
    found_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    stored_at    timestamptz,
    content_id   bigint,
    UNIQUE (inbox, remote_id, version),
    CHECK ((state = 'stored') = (content_id IS NOT NULL)),
    CHECK ((state IN ('filtered', 'duplicate', 'superseded')) = (why <> ''))
);
CREATE INDEX remote_product ON ingestion.remote (inbox, product);
CREATE INDEX remote_waiting ON ingestion.remote (inbox, priority DESC, published_at, id) WHERE state = 'waiting';

-- Enter what was offered and is not known yet. Where a name comes again, what was not brought of it is superseded.
-- Returns how many rows are new.
CREATE FUNCTION ingestion.enter(of_inbox text, offers jsonb) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    offer record;
    entered bigint;
    twin bigint;
    fresh int := 0;
BEGIN
    FOR offer IN
        SELECT o.* FROM ROWS FROM (jsonb_to_recordset(offers) AS (
            remote_id text, version text, name text, product text, why text, size bigint, checksums jsonb,
            published_at timestamptz, origin_at timestamptz, priority int)) WITH ORDINALITY AS o
          LEFT JOIN ingestion.remote r
                 ON r.inbox = of_inbox AND r.remote_id = o.remote_id AND r.version = o.version
         WHERE r.id IS NULL
         ORDER BY o.ordinality
    LOOP
        SELECT r.id INTO twin FROM ingestion.remote r
         WHERE r.inbox = of_inbox AND r.product = offer.product AND r.size = offer.size AND r.checksums = offer.checksums
           AND r.checksums <> '{}' AND r.state IN ('waiting', 'queued', 'stored')
         LIMIT 1;
        INSERT INTO ingestion.remote (inbox, remote_id, version, name, product, state, why, size, checksums, published_at,
                                      origin_at, priority)
        VALUES (of_inbox, offer.remote_id, offer.version, offer.name, offer.product,
                CASE WHEN offer.why <> '' THEN 'filtered' WHEN twin IS NOT NULL THEN 'duplicate' ELSE 'waiting' END,
                CASE WHEN offer.why <> '' THEN offer.why
                     WHEN twin IS NOT NULL THEN 'name, size and checksum are those of offer ' || twin ELSE '' END,
                offer.size, offer.checksums, offer.published_at, offer.origin_at, offer.priority)
        ON CONFLICT DO NOTHING
        RETURNING id INTO entered;
        CONTINUE WHEN entered IS NULL;
        fresh := fresh + 1;
        CONTINUE WHEN offer.why <> '' OR twin IS NOT NULL;
        UPDATE ingestion.remote r SET state = 'superseded', why = 'offer ' || entered || ' has the same name'
         WHERE r.inbox = of_inbox AND r.product = offer.product AND r.id < entered AND r.state IN ('waiting', 'queued');
    END LOOP;
    RETURN fresh;
END $$;

-- Queue up to `most` waiting offers, the most urgent first; a quarter of the places is kept for the backlog as long
-- as there is any. Returns how many were queued.
CREATE FUNCTION ingestion.dispatch(of_inbox text, to_stage text, most int, backlog_priority int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    chosen bigint[];
    queued int;
BEGIN
    chosen := ARRAY(
        SELECT r.id FROM ingestion.remote r
         WHERE r.inbox = of_inbox AND r.state = 'waiting' AND r.priority <= backlog_priority
         ORDER BY r.priority DESC, r.published_at, r.id LIMIT greatest(1, most / 4) FOR UPDATE SKIP LOCKED);
    chosen := chosen || ARRAY(
        SELECT r.id FROM ingestion.remote r
         WHERE r.inbox = of_inbox AND r.state = 'waiting' AND r.id <> ALL (chosen)
         ORDER BY r.priority DESC, r.published_at, r.id LIMIT greatest(0, most - cardinality(chosen))
           FOR UPDATE SKIP LOCKED);
    WITH changed AS (
        UPDATE ingestion.remote r SET state = 'queued' WHERE r.id = ANY (chosen)
        RETURNING r.id, r.product, r.priority
    )
    SELECT count(work.enqueue(to_stage, c.product, jsonb_build_object('remote_id', c.id), c.priority, NULL, 1))
      INTO queued FROM changed c;
    RETURN queued;
END $$;
