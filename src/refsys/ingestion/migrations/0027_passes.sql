-- expands
-- Passes that the missions planned: what stations are expected to receive, so that what never came can be told.
CREATE TABLE ingestion.plan (
    name       text PRIMARY KEY,                         -- of the file
    satellite  text NOT NULL,
    station    text NOT NULL,                            -- as the file type says, without underscores: SGS, MTI …
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz NOT NULL CHECK (valid_to >= valid_from),
    planned_at timestamptz NOT NULL,                     -- the file's creation date: the later plan counts
    passes     int NOT NULL,
    read_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX plan_station ON ingestion.plan (satellite, station, valid_to);

CREATE TABLE ingestion.planned_pass (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan       text NOT NULL REFERENCES ingestion.plan ON DELETE CASCADE,
    satellite  text NOT NULL,
    station    text NOT NULL,
    orbit      int,
    starts_at  timestamptz NOT NULL,                     -- the station receives from … to
    ends_at    timestamptz NOT NULL CHECK (ends_at >= starts_at),
    data_start timestamptz,                              -- the satellite sends from … to
    data_stop  timestamptz,
    UNIQUE (satellite, station, starts_at)
);
CREATE INDEX planned_pass_time ON ingestion.planned_pass (starts_at);

-- The days whose report was written into the log, and what it said in short.
CREATE TABLE ingestion.day (
    day     date PRIMARY KEY,
    told_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    said    jsonb NOT NULL
);
