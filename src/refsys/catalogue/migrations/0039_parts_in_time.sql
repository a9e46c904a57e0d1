-- When a part of a footprint was seen stands beside it: one index finds what overlaps an area in a time, and who wants
-- the newest there need not look at all that ever were.
--
-- `span` is a prefilter: it holds the start and the stop of sensing, in whatever order, and is endless where one is missing.
CREATE FUNCTION catalogue.seen(sensing_start timestamptz, sensing_stop timestamptz) RETURNS tstzrange
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN sensing_start > sensing_stop THEN tstzrange(sensing_stop, sensing_start, '[]')
                ELSE tstzrange(sensing_start, sensing_stop, '[]') END
$$;

ALTER TABLE catalogue.footprint_part ADD COLUMN span tstzrange, ADD COLUMN sensing_start timestamptz;
UPDATE catalogue.footprint_part f
   SET span = catalogue.seen(p.sensing_start, p.sensing_stop), sensing_start = p.sensing_start
  FROM catalogue.product p WHERE p.id = f.product_id;
ALTER TABLE catalogue.footprint_part ALTER COLUMN span SET NOT NULL;

CREATE INDEX footprint_part_seen ON catalogue.footprint_part USING gist (part, span);
DROP INDEX catalogue.footprint_part_area;

-- As in 0011, and in a time; the ids in the order of their start of sensing, those without one last.
DROP FUNCTION catalogue.overlapping(polygon[], int);
CREATE FUNCTION catalogue.overlapping(areas polygon[], seen tstzrange, at_most int)
RETURNS uuid[] LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
DECLARE
    found uuid[];
    starts timestamptz[];
BEGIN
    SELECT array_agg(f.product_id), array_agg(f.sensing_start) INTO found, starts
      FROM (SELECT f.product_id, f.sensing_start FROM unnest(areas) AS area
              JOIN catalogue.footprint_part f ON f.part && area AND f.span && seen LIMIT at_most + 1) f;
    IF cardinality(found) > at_most THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(SELECT id FROM (SELECT DISTINCT id, start FROM unnest(found, starts) AS part(id, start)) AS product
                  ORDER BY start, id);
END $$;
