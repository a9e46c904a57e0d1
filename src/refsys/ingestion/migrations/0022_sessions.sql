-- expands
-- Acquisition sessions: what stations say of them, which blocks are here, what production was told.
--
-- One row for each session id and transfer, whatever protocol, inbox or station it came by. Two rows of one name are
-- the nominal transfer and its retransfer: together they are what production gets.
--   announced   a station told of it, nothing is stored
--   receiving   blocks are stored, others are awaited
--   complete    nothing is missing
--   incomplete  its deadline passed, and something is missing
CREATE TABLE ingestion.session (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name           text NOT NULL CHECK (name = upper(name) AND name <> ''),
    retransfer     boolean NOT NULL,
    state          text NOT NULL DEFAULT 'announced' CHECK (state IN ('announced', 'receiving', 'complete', 'incomplete')),
    state_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    problems       text[] NOT NULL DEFAULT '{}',
    satellite      text NOT NULL DEFAULT '',             -- S1A; empty = nobody told
    mission        text NOT NULL DEFAULT '',
    timeliness     text NOT NULL DEFAULT '',             -- as its inbox is set
    -- what its station says, in the station's clock; null = not said. Another source only adds what that one left out.
    said_by        text NOT NULL DEFAULT '',             -- the inbox that said it first
    channels       int CHECK (channels > 0),
    station_unit   text NOT NULL DEFAULT '',
    orbit          int,
    published_at   timestamptz,
    planned_start  timestamptz,
    planned_stop   timestamptz,
    downlink_start timestamptz,
    downlink_stop  timestamptz,
    facts          jsonb NOT NULL DEFAULT '{}',
    -- in our clock
    seen_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    news_at        timestamptz NOT NULL DEFAULT clock_timestamp(),  -- a file was offered or stored
    begun_at       timestamptz,                          -- the first block was stored
    deadline_at    timestamptz,                          -- as counted last
    passed_at      timestamptz,                          -- the deadline has passed
    is_settled     boolean NOT NULL DEFAULT false,       -- no deadline is awaited
    fills          boolean NOT NULL DEFAULT false,       -- a retransfer with which nothing of the session is missing
    -- what operators decided
    wait_until     timestamptz,                          -- the deadline, in place of the counted one
    is_held        boolean NOT NULL DEFAULT false,       -- no deadline at all
    gave_up        boolean NOT NULL DEFAULT false,       -- what is missing is not awaited any more
    -- what production was told
    revision       int NOT NULL DEFAULT 0,               -- of the newest hand-over with this transfer in it; 0 = none
    handed_at      timestamptz,
    UNIQUE (name, retransfer),
    CHECK ((revision > 0) = (handed_at IS NOT NULL))
);
CREATE INDEX session_unsettled ON ingestion.session (id) WHERE NOT is_settled;
CREATE INDEX session_seen ON ingestion.session (seen_at DESC, id DESC);

-- The inboxes that know of a session.
CREATE TABLE ingestion.session_source (
    session_id bigint NOT NULL REFERENCES ingestion.session ON DELETE CASCADE,
    inbox      text NOT NULL,
    asked_at   timestamptz,                              -- its station was last asked for this very session
    PRIMARY KEY (inbox, session_id)
);
CREATE INDEX session_source_session ON ingestion.session_source (session_id);

-- A channel: what is said of it, and what was judged last.
CREATE TABLE ingestion.session_channel (
    session_id     bigint NOT NULL REFERENCES ingestion.session ON DELETE CASCADE,
    channel        int NOT NULL CHECK (channel > 0),
    quality        jsonb NOT NULL DEFAULT '{}',          -- QualityInfo, as it came
    named          text[],                               -- the blocks that the station's DSIB names; null = none was read
    named_size     bigint,                               -- data_size of that DSIB
    dsib_problem   text NOT NULL DEFAULT '',             -- what is wrong with that DSIB
    expected       int,                                  -- blocks that there are; null = not known yet
    offered        int NOT NULL DEFAULT 0,
    stored         int NOT NULL DEFAULT 0,
    stored_size    bigint NOT NULL DEFAULT 0,
    missing        int[] NOT NULL DEFAULT '{}',          -- blocks known to be missing, the first thousand
    is_complete    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (session_id, channel)
);

-- A file of a transfer, from whichever source. Block 0 is the station's DSIB; -1 is the block that is numbered 00000
-- by a station that counts from zero and tells no block numbers.
CREATE TABLE ingestion.session_file (
    session_id   bigint NOT NULL REFERENCES ingestion.session ON DELETE CASCADE,
    channel      int NOT NULL CHECK (channel > 0),
    block        int NOT NULL CHECK (block >= -1),
    name         text NOT NULL,
    inbox        text NOT NULL,                          -- that offered it first; another only fills gaps
    version      text NOT NULL,
    size         bigint,
    is_final     boolean,
    published_at timestamptz,
    seen_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    content_id   bigint,                                 -- its bytes in the catalogue; null = not stored
    stored_name  text,
    stored_by    text,                                   -- the inbox that brought them
    stored_size  bigint,
    digest       bytea,
    stored_at    timestamptz,
    PRIMARY KEY (session_id, channel, block),
    CHECK (num_nulls(content_id, stored_name, stored_by, stored_size, digest, stored_at) IN (0, 6))
);

-- What production was told of a session (both transfers together), newest revision last.
CREATE TABLE ingestion.handover (
    name        text NOT NULL,
    revision    int NOT NULL CHECK (revision > 0),
    session_id  bigint NOT NULL REFERENCES ingestion.session ON DELETE CASCADE,  -- the transfer that caused it
    is_complete boolean NOT NULL,
    view        bytea NOT NULL,                          -- of which blocks, with which bytes
    why         text NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, revision)
);
CREATE INDEX handover_session ON ingestion.handover (session_id);

-- The DSIB that we made for a channel, where its station delivers none.
CREATE TABLE ingestion.made_dsib (
    session    text NOT NULL,
    channel    int NOT NULL,
    digest     bytea NOT NULL,
    content_id bigint NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (session, channel)
);
