-- Keys that all API processes share: made here, never shown, never told to anybody.
CREATE TABLE distribution.secret (
    name  text PRIMARY KEY CHECK (name <> ''),
    value bytea NOT NULL CHECK (octet_length(value) >= 32)
);
-- gen_random_uuid() has 122 random bits; three of them are more than the 256 that come out
INSERT INTO distribution.secret (name, value)
SELECT name, sha256((gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text)::bytea)
  FROM unnest('{pages,tokens,links}'::text[]) AS names(name);

-- What belongs to a product besides its package: pictures of it, its own or made of it. They are final at publication.
CREATE TABLE distribution.asset (
    id         uuid PRIMARY KEY,
    product_id uuid NOT NULL REFERENCES catalogue.product ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('QUICKLOOK')),
    -- below the product's final base: a file of the product (NAME/preview/quick-look.png), or one made beside it
    path       text NOT NULL CHECK (path <> ''),
    is_made    boolean NOT NULL,
    media_type text NOT NULL,
    size       bigint NOT NULL CHECK (size >= 0),
    md5        bytea NOT NULL CHECK (octet_length(md5) = 16),
    blake3     bytea NOT NULL CHECK (octet_length(blake3) = 32),
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (product_id, path)
);
