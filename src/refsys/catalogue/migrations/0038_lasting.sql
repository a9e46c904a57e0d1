-- The few published products that last 18 hours or longer (catalogue.spans): whatever else reaches an instant started
-- within 18 hours before it (refsys.catalogue.compiler).
CREATE INDEX product_lasting ON catalogue.product (sensing_stop)
    WHERE state = 'published' AND catalogue.span_of(sensing_start, sensing_stop) >= 7;

-- So that the planner knows how few they are.
CREATE STATISTICS catalogue.product_spans ON (catalogue.span_of(sensing_start, sensing_stop)) FROM catalogue.product;
