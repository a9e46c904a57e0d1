-- What users want to be told of, and what waits to be told to them (standards 2.2).

-- A subscription reads the change feed by a position of its own: pausing, a full queue or a failing endpoint only make
-- it stand still, and going back in the feed tells everything again.
CREATE TABLE distribution.subscription (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- the name of a principal; empty for those who did not say who they are
    owner            text NOT NULL,
    status           text NOT NULL CHECK (status IN ('running', 'paused')),
    events           text[] NOT NULL CHECK (events <> '{}' AND events <@ '{created,modified,deleted}'),
    -- a `$filter` as it was given; empty = everything
    filter_text      text NOT NULL,
    stage_order      boolean NOT NULL,
    -- where to send notifications; without it the user fetches them
    endpoint         text CHECK (endpoint <> ''),
    submitted_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_notified_at timestamptz,
    -- up to here the feed was looked through for it
    position         bigint NOT NULL CHECK (position >= 0),
    -- up to here everything was acknowledged, or taken by the endpoint
    acked            bigint NOT NULL CHECK (acked BETWEEN 0 AND position),
    -- rows of distribution.notification
    queued           int NOT NULL DEFAULT 0 CHECK (queued >= 0),
    paused_by        text CHECK (paused_by IN ('user', 'operator', 'system')),
    pause_reason     text NOT NULL DEFAULT '',
    -- of the notification that is to be sent next
    attempts         int NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    failing_since    timestamptz,
    next_attempt_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error       text NOT NULL DEFAULT '',
    last_error_at    timestamptz,
    -- who sends: only the holder of the token may say what became of it
    lease_token      uuid,
    lease_until      timestamptz,
    CHECK ((status = 'paused') = (paused_by IS NOT NULL))
);
CREATE INDEX subscription_owner ON distribution.subscription (owner);

-- Apart from what is shown, so that no list of subscriptions can show it.
CREATE TABLE distribution.subscription_access (
    subscription_id uuid PRIMARY KEY REFERENCES distribution.subscription ON DELETE CASCADE,
    username        text NOT NULL,
    password        text NOT NULL
);

-- The queue: changes of the feed that a subscription's user has not acknowledged yet.
CREATE TABLE distribution.notification (
    subscription_id uuid NOT NULL REFERENCES distribution.subscription ON DELETE CASCADE,
    -- position, instant and kind of the change
    position        bigint NOT NULL,
    at              timestamptz NOT NULL,
    kind            text NOT NULL,
    product_id      uuid NOT NULL,
    noted_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (subscription_id, position)
);
