-- Who is signed in by a token of ours: a session is one chain of refresh tokens, of which only the last is good.
CREATE SCHEMA web;

CREATE TABLE web.session (
    id         uuid PRIMARY KEY,
    user_name  text NOT NULL CHECK (user_name <> ''),
    -- counts the refresh tokens: who comes with an earlier one has a stolen one, or was robbed
    turn       integer NOT NULL DEFAULT 1 CHECK (turn > 0),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ends_at    timestamptz NOT NULL
);
CREATE INDEX ON web.session (ends_at);
