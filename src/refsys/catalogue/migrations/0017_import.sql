-- Taking over what exists: bytes that stay where they lie, and how far an import has come.

-- The bytes are used where they lie, below `base` (which may be empty): nothing of ours moves or deletes them.
ALTER TABLE catalogue.content ADD COLUMN in_place boolean NOT NULL DEFAULT false;

-- An import of one source. `place` is how far it has come, in the manner of its kind; while it is not finished, the
-- next one of the same source goes on from there. `counts` tells what became of the products since it was begun.
CREATE TABLE catalogue.import_run (
    kind        text NOT NULL CHECK (kind IN ('bucket', 'odata', 'reference')),
    source      text NOT NULL,
    place       jsonb NOT NULL DEFAULT '{}',
    counts      jsonb NOT NULL DEFAULT '{}',
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    moved_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    PRIMARY KEY (kind, source)
);
