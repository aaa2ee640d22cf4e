-- +goose Up

-- What an audit of the books found: that of each hour, kept for 30 days, and those that somebody asked for.
CREATE TABLE audits (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slot        timestamptz CONSTRAINT audits_slot_once UNIQUE, -- the hour of a scheduled one, which one replica runs for all
    started_at  timestamptz NOT NULL,
    took_ms     bigint NOT NULL,
    scope       jsonb NOT NULL,
    checks      jsonb NOT NULL,
    differences int NOT NULL,
    details     jsonb NOT NULL,
    by          text NOT NULL
);
CREATE INDEX audits_started ON audits (started_at DESC);

-- Months of usage_events that were put aside: tables that nothing reads, until a person drops them. Their rows stay here,
-- so that everybody knows which single calls are gone.
CREATE SCHEMA usage_archive;
CREATE TABLE usage_archives (
    month       date PRIMARY KEY CHECK (extract(day FROM month) = 1),
    name        text NOT NULL CONSTRAINT usage_archives_name_once UNIQUE, -- of the table in usage_archive
    detached_at timestamptz NOT NULL,
    rows        bigint, -- NULL: not counted yet
    dropped_at  timestamptz
);

-- +goose Down
DROP SCHEMA usage_archive; -- refuses while there are months in it
DROP TABLE usage_archives, audits;
