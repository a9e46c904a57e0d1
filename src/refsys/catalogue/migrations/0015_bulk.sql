-- Many finished products entered at once, and products that are known by their metadata only.

-- What is online has a package; of the others size and checksums may be unknown.
ALTER TABLE catalogue.product
    DROP CONSTRAINT product_check2,
    ADD CONSTRAINT product_package CHECK (
        state = 'described' OR NOT online
        OR (package_size IS NOT NULL AND package_md5 IS NOT NULL AND package_layout IS NOT NULL)),
    ADD CONSTRAINT product_online CHECK (online OR published_at IS NOT NULL);

-- Hold names, each given once, until the transaction ends, as catalogue.hold_name does. Says which of them the
-- catalogue knows, as a product or on its way to become one, and gives ids for the contents of the others.
CREATE FUNCTION catalogue.hold_names(wanted text[], OUT known text[], OUT content_ids bigint[])
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    -- always in the same order: two who hold many do not wait for each other
    PERFORM pg_advisory_xact_lock(held.key)
       FROM (SELECT DISTINCT hashtextextended(name, 0) AS key FROM unnest(wanted) AS name ORDER BY 1) AS held;
    -- a new snapshot: what others committed before we got the locks is visible to the statements below
    known := ARRAY(
        SELECT name FROM unnest(wanted) AS name
         WHERE EXISTS (SELECT FROM catalogue.product p WHERE p.name = name.name)
            OR EXISTS (SELECT FROM catalogue.content c WHERE c.name = name.name AND c.discarded_at IS NULL));
    content_ids := ARRAY(
        SELECT nextval(pg_get_serial_sequence('catalogue.content', 'id'))
          FROM generate_series(1, cardinality(wanted) - cardinality(known)));
END $$;

-- Take the feed's lock to publish products that are not in the catalogue yet: the positions and instants that follow
-- the returned ones are the caller's until the transaction ends. Says to which of them a hold applies.
CREATE FUNCTION catalogue.begin_publication(names text[], collections text[], types text[], platforms text[],
                                            starts timestamptz[], OUT last_position bigint, OUT instant timestamptz,
                                            OUT held text[]) LANGUAGE plpgsql AS $$
BEGIN
    SELECT f.last_position, f.instant INTO last_position, instant FROM catalogue.lock_feed() f;
    held := ARRAY(
        SELECT u.name FROM unnest(names, collections, types, platforms, starts) AS u(name, collection, type, platform, start)
         WHERE EXISTS (
               SELECT FROM catalogue.rule r WHERE r.kind = 'hold' AND r.lifted_at IS NULL
                  AND catalogue.applies(r, u.name, u.collection, u.type, u.platform, u.start)));
END $$;
