-- The catalogue: products, the bytes they consist of, and the order in which they became visible.
CREATE SCHEMA catalogue;

-- One version of a product's bytes, as it arrived. `base` is the storage prefix under which the paths of
-- catalogue.file lie; `digest` is the BLAKE3 of the file table: equal digests mean equal bytes.
CREATE TABLE catalogue.content (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text NOT NULL,
    base             text NOT NULL,
    source           text NOT NULL,
    mission          text,
    on_change        text NOT NULL CHECK (on_change IN ('park', 'revise')),
    completeness     text NOT NULL CHECK (completeness IN ('strict', 'record')),
    available_at     timestamptz,
    t0_raw           timestamptz,
    origin_size      bigint,
    origin_checksums jsonb NOT NULL DEFAULT '{}',
    size             bigint NOT NULL CHECK (size >= 0),
    digest           bytea NOT NULL,
    found_at         timestamptz,
    stored_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    discarded_at     timestamptz
);
CREATE INDEX content_name ON catalogue.content (name);

-- The truth about bytes; empty folders too.
CREATE TABLE catalogue.file (
    content_id bigint NOT NULL REFERENCES catalogue.content ON DELETE CASCADE,
    ordinal    int NOT NULL,
    path       text NOT NULL,
    is_folder  boolean NOT NULL DEFAULT false,
    size       bigint NOT NULL CHECK (size >= 0),
    crc32      bigint NOT NULL DEFAULT 0,
    md5        bytea NOT NULL DEFAULT '',
    blake3     bytea NOT NULL DEFAULT '',
    PRIMARY KEY (content_id, ordinal),
    UNIQUE (content_id, path)
);

CREATE TABLE catalogue.product (
    id                uuid PRIMARY KEY,
    name              text NOT NULL,
    revision          int NOT NULL DEFAULT 1 CHECK (revision >= 1),
    current           boolean NOT NULL DEFAULT true,
    state             text NOT NULL CHECK (state IN ('described', 'packaged', 'published', 'superseded', 'withdrawn')),
    content_id        bigint NOT NULL REFERENCES catalogue.content,
    final_base        text NOT NULL,
    type_id           text NOT NULL,
    collection        text NOT NULL,
    mission           text NOT NULL,
    platform          text NOT NULL DEFAULT '',
    instrument        text NOT NULL DEFAULT '',
    product_type      text NOT NULL,
    level             text NOT NULL DEFAULT '',
    timeliness        text NOT NULL DEFAULT '',
    sensing_start     timestamptz,
    sensing_stop      timestamptz,
    available_at      timestamptz,
    t0_raw            timestamptz,
    t0_inputs         timestamptz,
    described_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    packaged_at       timestamptz,
    published_at      timestamptz,
    modified_at       timestamptz,
    evicted_at        timestamptz,
    deleted_at        timestamptz,
    deletion_cause    text,
    feed_position     bigint UNIQUE,
    online            boolean NOT NULL DEFAULT true,
    visibility        text NOT NULL DEFAULT 'public' CHECK (visibility IN ('internal', 'role', 'public')),
    packaging         text NOT NULL CHECK (packaging IN ('zip', 'bare')),
    package_layout    smallint,
    package_name      text,
    package_size      bigint,
    package_md5       bytea,
    package_blake3    bytea,
    footprint         jsonb,
    footprint_quality text NOT NULL DEFAULT '',
    attributes        jsonb NOT NULL DEFAULT '{}',
    problems          text[] NOT NULL DEFAULT '{}',
    lineage           jsonb NOT NULL DEFAULT '{}',
    name_grams        text[] NOT NULL DEFAULT '{}',
    UNIQUE (name, revision),
    CHECK ((state IN ('published', 'superseded', 'withdrawn')) = (published_at IS NOT NULL)),
    CHECK ((published_at IS NULL) = (feed_position IS NULL)),
    CHECK (state = 'described' OR (package_size IS NOT NULL AND package_md5 IS NOT NULL AND package_layout IS NOT NULL)),
    CHECK (state IN ('superseded', 'withdrawn') = (deleted_at IS NOT NULL))
);
-- the name is unique among current revisions
CREATE UNIQUE INDEX product_current_name ON catalogue.product (name) WHERE current;
CREATE INDEX product_published ON catalogue.product (published_at, id) WHERE state = 'published';
CREATE INDEX product_start ON catalogue.product (sensing_start, id) WHERE state = 'published';
CREATE INDEX product_stop ON catalogue.product (sensing_stop, id) WHERE state = 'published';
CREATE INDEX product_modified ON catalogue.product (modified_at, id) WHERE state = 'published';
CREATE INDEX product_deleted ON catalogue.product (deleted_at, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX product_type_start ON catalogue.product (collection, product_type, sensing_start) WHERE state = 'published';
CREATE INDEX product_attributes ON catalogue.product USING gin (attributes jsonb_path_ops);
CREATE INDEX product_grams ON catalogue.product USING gin (name_grams);

-- Footprints cut into parts of at most 10 degrees: a core GiST index on polygons finds them (no extension).
CREATE TABLE catalogue.footprint_part (
    product_id uuid NOT NULL REFERENCES catalogue.product ON DELETE CASCADE,
    part       polygon NOT NULL
);
CREATE INDEX footprint_part_product ON catalogue.footprint_part (product_id);
CREATE INDEX footprint_part_area ON catalogue.footprint_part USING gist (part);

-- The change feed: positions are given under one lock, so that no reader can miss one (architecture 5).
CREATE TABLE catalogue.change (
    position   bigint PRIMARY KEY,
    at         timestamptz NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('created', 'modified', 'superseded', 'withdrawn', 'evicted', 'deleted')),
    product_id uuid NOT NULL,
    cause      text
);

-- Make a packaged product visible: the one place where PublicationDate and feed positions are given. It takes the
-- feed's lock, hence it is called as the last statement of the publishing transaction (architecture 5).
-- Returns no row where the product was replaced or published meanwhile.
CREATE FUNCTION catalogue.publish(wanted uuid, wanted_content bigint)
RETURNS TABLE (published_at timestamptz, feed_position bigint, replaced uuid) LANGUAGE plpgsql AS $$
DECLARE
    product_name text;
    next_position bigint;
    instant timestamptz;
    old uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(7310298240581);
    -- a new snapshot: what others published before we got the lock is visible to the statements below
    SELECT coalesce(max(c.position), 0) + 1, greatest(clock_timestamp(), max(c.at) + interval '1 microsecond')
      INTO next_position, instant
      FROM (SELECT position, at FROM catalogue.change ORDER BY position DESC LIMIT 1) c;
    UPDATE catalogue.product p
       SET state = 'published', published_at = instant, modified_at = instant, feed_position = next_position
     WHERE p.id = wanted AND p.content_id = wanted_content AND p.state = 'packaged'
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

INSERT INTO work.subscription (event, stage) VALUES ('product.arrived', 'catalogue.describe');
