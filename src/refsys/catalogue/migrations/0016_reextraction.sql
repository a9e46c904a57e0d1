-- Describing products anew when their type's row changes (refsys.catalogue.reextract).

-- By which row a product was described (refsys.catalogue.fingerprints; empty: nobody knows, it is described anew), and
-- how many times what is said of it has changed since: what was rendered of an earlier edition is stale.
ALTER TABLE catalogue.product
    ADD COLUMN type_fingerprint text NOT NULL DEFAULT '',
    ADD COLUMN edition int NOT NULL DEFAULT 1 CHECK (edition >= 1);
CREATE INDEX product_fingerprint ON catalogue.product (type_id, type_fingerprint, id) WHERE online;

-- The name patterns that all names were looked at with, in one fingerprint: where a row is added, products of other
-- types may be of it.
CREATE TABLE catalogue.recognition (
    is_only   boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    patterns  text NOT NULL,
    looked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
