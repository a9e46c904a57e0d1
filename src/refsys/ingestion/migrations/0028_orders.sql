-- What was ordered of long-term archives: an order is placed once, whatever process asks whether it is ready.
CREATE TABLE ingestion.archive_order (
    inbox      text NOT NULL REFERENCES ingestion.inbox ON DELETE CASCADE,
    remote_id  text NOT NULL,                             -- the product's id in the archive
    order_id   text NOT NULL,                             -- the archive's id of the order
    ordered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (inbox, remote_id)
);
