-- What searches need beyond the catalogue's own keys.

-- Names by their beginning and in their order, whatever collation the database has.
CREATE INDEX product_name_order ON catalogue.product (name COLLATE "C", id) WHERE state = 'published';

-- What operators look for first: what came last.
CREATE INDEX product_described ON catalogue.product (described_at, id) WHERE current;

-- The products whose footprint overlaps one of these polygons, where there are at most `at_most` overlapping parts,
-- else NULL. The planner guesses `&&` badly, so who searches looks first, by the index whatever the planner thinks.
CREATE FUNCTION catalogue.overlapping(areas polygon[], at_most int)
RETURNS uuid[] LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
DECLARE
    found uuid[];
BEGIN
    found := ARRAY(
        SELECT f.product_id FROM unnest(areas) AS area JOIN catalogue.footprint_part f ON f.part && area
         LIMIT at_most + 1);
    IF cardinality(found) > at_most THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(SELECT DISTINCT id FROM unnest(found) AS id);
END $$;
