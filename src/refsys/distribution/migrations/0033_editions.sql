-- What was rendered of an earlier edition of a product is stale: it is rendered anew when it is read.
ALTER TABLE distribution.document ADD COLUMN edition int NOT NULL DEFAULT 1 CHECK (edition >= 1);
