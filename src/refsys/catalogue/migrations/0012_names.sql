-- What describing a content needs, in one round trip; and products by their content.
CREATE INDEX product_content ON catalogue.product (content_id);

-- Hold a name until the transaction ends: nobody else describes a content of it, or changes its current product.
-- Says whether it has a current product, and which of its other contents have neither a product nor a step any more,
-- because a later content took their step over while it waited: nobody will describe them.
CREATE FUNCTION catalogue.hold_name(held text, of_content bigint, stage_of_steps text,
                                    OUT is_known boolean, OUT overtaken bigint[]) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(held, 0));
    -- a new snapshot: what others committed before we got the lock is visible to the statements below
    overtaken := ARRAY(
        SELECT c.id FROM catalogue.content c
         WHERE c.name = held AND c.id <> of_content AND c.discarded_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM catalogue.product p WHERE p.content_id = c.id)
           AND NOT EXISTS (SELECT 1 FROM work.step s WHERE s.key = held AND s.stage = stage_of_steps
                              AND (s.payload->>'content_id')::bigint = c.id));
    PERFORM 1 FROM catalogue.product p WHERE p.name = held AND p.current FOR UPDATE;
    is_known := FOUND;
END $$;
