-- How many products there are of each kind, counted as they change and not when somebody asks (refsys.catalogue.tallies).

-- A kind of products that users can be told of: `shown` as published or as deleted ones. `attributes` has productType
-- alone, as the products have it. `basis` says what `day` (UTC) is: nothing of all; the day of the sensing start, or of
-- publication (of deletion, of the deleted ones), or the first day of its month; NULL where the products have none.
CREATE TABLE catalogue.tally (
    shown        text NOT NULL CHECK (shown IN ('published', 'deleted')),
    basis        text NOT NULL CHECK (basis IN ('all', 'sensed', 'sensed month', 'shown', 'shown month')),
    day          date,
    collection   text NOT NULL,
    mission      text NOT NULL,
    platform     text NOT NULL,
    instrument   text NOT NULL,
    product_type text NOT NULL,
    level        text NOT NULL,
    timeliness   text NOT NULL,
    visibility   text NOT NULL,
    online       boolean NOT NULL,
    attributes   jsonb NOT NULL,
    number       bigint NOT NULL,
    CONSTRAINT tally_kind UNIQUE NULLS NOT DISTINCT (
        shown, basis, day, collection, mission, platform, instrument, product_type, level, timeliness, visibility,
        online, attributes)
);

-- What has changed since; folded into the tallies now and then. Nobody who publishes waits for a row of another one.
CREATE TABLE catalogue.tally_change (
    id           bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    shown        text NOT NULL,
    sensed_on    date,
    shown_on     date,
    collection   text NOT NULL,
    mission      text NOT NULL,
    platform     text NOT NULL,
    instrument   text NOT NULL,
    product_type text NOT NULL,
    level        text NOT NULL,
    timeliness   text NOT NULL,
    visibility   text NOT NULL,
    online       boolean NOT NULL,
    attributes   jsonb NOT NULL,
    number       bigint NOT NULL
);

CREATE FUNCTION catalogue.month_of(day date) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT date_trunc('month', day::timestamp)::date
$$;

-- Both together: what is true now.
CREATE VIEW catalogue.tallied AS
SELECT shown, basis, day, collection, mission, platform, instrument, product_type, level, timeliness, visibility,
       online, attributes, number
  FROM catalogue.tally
UNION ALL
SELECT c.shown, d.basis, d.day, c.collection, c.mission, c.platform, c.instrument, c.product_type, c.level, c.timeliness,
       c.visibility, c.online, c.attributes, c.number
  FROM catalogue.tally_change c,
       LATERAL (VALUES ('all', NULL::date), ('sensed', c.sensed_on), ('shown', c.shown_on),
                       ('sensed month', catalogue.month_of(c.sensed_on)),
                       ('shown month', catalogue.month_of(c.shown_on))) AS d(basis, day);

-- Fold the changes into the tallies; where somebody else does it at the moment, nothing is to do.
CREATE FUNCTION catalogue.fold_tallies() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(7310298240582) THEN
        RETURN;
    END IF;
    WITH gone AS (
        DELETE FROM catalogue.tally_change RETURNING *
    )
    INSERT INTO catalogue.tally AS t (shown, basis, day, collection, mission, platform, instrument, product_type, level,
                                      timeliness, visibility, online, attributes, number)
    SELECT c.shown, d.basis, d.day, c.collection, c.mission, c.platform, c.instrument, c.product_type, c.level,
           c.timeliness, c.visibility, c.online, c.attributes, sum(c.number)
      FROM gone c,
           LATERAL (VALUES ('all', NULL::date), ('sensed', c.sensed_on), ('shown', c.shown_on),
                           ('sensed month', catalogue.month_of(c.sensed_on)),
                           ('shown month', catalogue.month_of(c.shown_on))) AS d(basis, day)
     GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
    ON CONFLICT ON CONSTRAINT tally_kind DO UPDATE SET number = t.number + excluded.number;
END $$;

-- What filters ask for most of all attributes.
CREATE FUNCTION catalogue.counted(attributes jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN attributes ? 'productType'
                THEN jsonb_build_object('productType', attributes -> 'productType') ELSE '{}' END
$$;

-- One published or deleted product more, or less.
CREATE FUNCTION catalogue.note_product(p catalogue.product, number int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO catalogue.tally_change (shown, sensed_on, shown_on, collection, mission, platform, instrument,
                                        product_type, level, timeliness, visibility, online, attributes, number)
    VALUES (CASE WHEN p.deleted_at IS NULL THEN 'published' ELSE 'deleted' END,
            (p.sensing_start AT TIME ZONE 'UTC')::date,
            (coalesce(p.deleted_at, p.published_at) AT TIME ZONE 'UTC')::date,
            p.collection, p.mission, p.platform, p.instrument, p.product_type, p.level, p.timeliness, p.visibility,
            p.online, catalogue.counted(p.attributes), number);
END $$;

CREATE FUNCTION catalogue.note_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO catalogue.tally_change (shown, sensed_on, shown_on, collection, mission, platform, instrument,
                                        product_type, level, timeliness, visibility, online, attributes, number)
    SELECT CASE WHEN deleted_at IS NULL THEN 'published' ELSE 'deleted' END,
           (sensing_start AT TIME ZONE 'UTC')::date,
           (coalesce(deleted_at, published_at) AT TIME ZONE 'UTC')::date,
           collection, mission, platform, instrument, product_type, level, timeliness, visibility, online,
           catalogue.counted(attributes), count(*)
      FROM inserted WHERE published_at IS NOT NULL
     GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13;
    RETURN NULL;
END $$;

CREATE FUNCTION catalogue.note_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.published_at IS NOT NULL THEN
        PERFORM catalogue.note_product(OLD, -1);
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.published_at IS NOT NULL THEN
        PERFORM catalogue.note_product(NEW, 1);
    END IF;
    RETURN NULL;
END $$;

-- The changes of a thousand rows or so are folded by whoever makes the next one.
CREATE FUNCTION catalogue.fold_now() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM catalogue.fold_tallies();
    RETURN NULL;
END $$;

-- what there is already
INSERT INTO catalogue.tally_change (shown, sensed_on, shown_on, collection, mission, platform, instrument, product_type,
                                    level, timeliness, visibility, online, attributes, number)
SELECT CASE WHEN deleted_at IS NULL THEN 'published' ELSE 'deleted' END,
       (sensing_start AT TIME ZONE 'UTC')::date, (coalesce(deleted_at, published_at) AT TIME ZONE 'UTC')::date,
       collection, mission, platform, instrument, product_type, level, timeliness, visibility, online,
       catalogue.counted(attributes), count(*)
  FROM catalogue.product WHERE published_at IS NOT NULL
 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13;
SELECT catalogue.fold_tallies();

CREATE TRIGGER tally_fold AFTER INSERT ON catalogue.tally_change
    FOR EACH ROW WHEN (NEW.id % 1000 = 0) EXECUTE FUNCTION catalogue.fold_now();
CREATE TRIGGER product_inserted AFTER INSERT ON catalogue.product
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION catalogue.note_inserted();
CREATE TRIGGER product_changed AFTER UPDATE ON catalogue.product
    FOR EACH ROW WHEN (
        (OLD.published_at, OLD.deleted_at, OLD.sensing_start, OLD.collection, OLD.mission, OLD.platform, OLD.instrument,
         OLD.product_type, OLD.level, OLD.timeliness, OLD.visibility, OLD.online, OLD.attributes -> 'productType')
        IS DISTINCT FROM
        (NEW.published_at, NEW.deleted_at, NEW.sensing_start, NEW.collection, NEW.mission, NEW.platform, NEW.instrument,
         NEW.product_type, NEW.level, NEW.timeliness, NEW.visibility, NEW.online, NEW.attributes -> 'productType'))
    EXECUTE FUNCTION catalogue.note_changed();
CREATE TRIGGER product_removed AFTER DELETE ON catalogue.product
    FOR EACH ROW WHEN (OLD.published_at IS NOT NULL) EXECUTE FUNCTION catalogue.note_changed();
