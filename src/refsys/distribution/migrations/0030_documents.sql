-- What a dialect says of a product, rendered once: a page is then a concatenation. A body is JSON with holes for what
-- changes later (distribution/odata/documents.py); bodies of an older render_version are rendered anew when read.
CREATE SCHEMA IF NOT EXISTS distribution;

CREATE TABLE distribution.document (
    product_id     uuid NOT NULL REFERENCES catalogue.product ON DELETE CASCADE,
    kind           text NOT NULL CHECK (kind <> ''),
    render_version int NOT NULL CHECK (render_version >= 1),
    body           text NOT NULL,
    PRIMARY KEY (product_id, kind)
);
