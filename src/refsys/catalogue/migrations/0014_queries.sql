-- Inputs by type, satellite and interval (refsys.catalogue.selection). Keys (session, datatake, orbit) have the index on
-- attributes.

-- Products by how long they last, shortest first; the last class has no end. Of a class, whatever overlaps an instant
-- starts at most `longest` before it: one year-long product does not make a search look a year back for all others.
-- In hours: a day is not always 24 of them.
CREATE FUNCTION catalogue.spans() RETURNS TABLE (span smallint, longest interval) LANGUAGE sql IMMUTABLE AS $$
    VALUES (0::smallint, interval '1 second'), (1, '10 seconds'), (2, '1 minute'), (3, '5 minutes'), (4, '30 minutes'),
           (5, '3 hours'), (6, '18 hours'), (7, '100 hours'), (8, '720 hours'), (9, '5000 hours'), (10, '36000 hours'),
           (11, NULL)
$$;

-- The class of a product. The planner puts it in line.
CREATE FUNCTION catalogue.span_of(start timestamptz, stop timestamptz) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN isfinite(start) AND isfinite(stop)
                THEN width_bucket(stop - start, ARRAY['1 second', '10 seconds', '1 minute', '5 minutes', '30 minutes',
                                                      '3 hours', '18 hours', '100 hours', '720 hours', '5000 hours',
                                                      '36000 hours']::interval[])::smallint
                ELSE 11::smallint END
$$;

-- When a product was made, as text: instants in attributes are written so that the order of texts is theirs. Of
-- Sentinel-1's auxiliaries the date of generation counts. The planner puts it in line.
CREATE FUNCTION catalogue.made(attributes jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(attributes ->> 'productGeneration', attributes ->> 'processingDate', '') COLLATE "C"
$$;

CREATE INDEX product_span ON catalogue.product
    (product_type, platform, catalogue.span_of(sensing_start, sensing_stop), sensing_start)
    WHERE current AND deleted_at IS NULL AND sensing_start <= sensing_stop;

-- Nearly all of the endless ones overlap any instant: the newest is found by when they were made.
CREATE INDEX product_endless ON catalogue.product (product_type, platform, catalogue.made(attributes) DESC)
    WHERE current AND deleted_at IS NULL AND sensing_start <= sensing_stop
      AND (catalogue.span_of(sensing_start, sensing_stop) = 11) IS TRUE;
