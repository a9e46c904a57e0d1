-- Packages that are written once: ZIP with deflated members.
ALTER TABLE catalogue.product
    DROP CONSTRAINT product_packaging_check,
    ADD CONSTRAINT product_packaging_check CHECK (packaging IN ('zip', 'deflated', 'bare'));
