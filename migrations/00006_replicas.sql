-- +goose Up

-- Every process that answers calls, by the name of its data folder. Whoever watches tells by beat, and by its own
-- steady clock, whether a replica lives: times of several machines are for people only.
CREATE TABLE replicas (
    name          text PRIMARY KEY,
    life          uuid NOT NULL,                -- drawn at each start
    beat          bigint NOT NULL DEFAULT 0,    -- grows with every heartbeat
    grace_ms      bigint NOT NULL DEFAULT 300000 CHECK (grace_ms > 0), -- the silence after which its leases may be taken back, as it believes itself
    reaped        bigint NOT NULL DEFAULT 0,    -- how often its leases were taken back while it was silent
    reaped_at     timestamptz,
    started_at    timestamptz NOT NULL DEFAULT now(),
    seen_at       timestamptz NOT NULL DEFAULT now(),
    stopped_at    timestamptz,                  -- it went in good order
    version       text NOT NULL DEFAULT '',
    calls         bigint NOT NULL DEFAULT 0,    -- under way
    spool_events  bigint NOT NULL DEFAULT 0,    -- recorded and not yet in the database
    spool_age_ms  bigint NOT NULL DEFAULT 0,    -- of the oldest of them
    spool_bytes   bigint NOT NULL DEFAULT 0,
    damaged_files bigint NOT NULL DEFAULT 0     -- of its spool, kept for a person to look at
);
INSERT INTO replicas (name, life) SELECT DISTINCT replica, gen_random_uuid() FROM quota_leases;

-- changes grows with every change of a bucket's leases, so that a replica tells the newer of two answers.
ALTER TABLE quota_buckets ADD COLUMN changes bigint NOT NULL DEFAULT 0;
-- committed counts the tokens that were committed of the replica's calls: with what it settled itself it tells what is on
-- the way, however late which answer arrives.
ALTER TABLE quota_leases
    ADD COLUMN committed_in  bigint NOT NULL DEFAULT 0,
    ADD COLUMN committed_out bigint NOT NULL DEFAULT 0,
    ADD COLUMN reaped_at     timestamptz,
    DROP COLUMN seen_at;

-- Tokens that no limit could stop. Their sum per period is the bucket's overrun.
CREATE TABLE quota_overruns (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    period_id  bigint NOT NULL,
    tenant_id  bigint NOT NULL,
    replica    text NOT NULL,
    -- reported: a provider reported more than was held; late: the lease had been taken back from a silent replica;
    -- unheld: the plan began to block while calls were under way; earlier: before causes were noted.
    cause      text NOT NULL CHECK (cause IN ('reported', 'late', 'unheld', 'earlier')),
    tokens_in  bigint NOT NULL CHECK (tokens_in >= 0),
    tokens_out bigint NOT NULL CHECK (tokens_out >= 0),
    FOREIGN KEY (period_id, tenant_id) REFERENCES billing_periods (id, tenant_id)
);
CREATE INDEX quota_overruns_period ON quota_overruns (period_id);
CREATE INDEX quota_overruns_at ON quota_overruns (at DESC);
INSERT INTO quota_overruns (at, period_id, tenant_id, replica, cause, tokens_in, tokens_out)
    SELECT now(), period_id, tenant_id, '', 'earlier', overrun_in, overrun_out FROM quota_buckets WHERE overrun_in + overrun_out > 0;
ALTER TABLE quota_overruns ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON quota_overruns TO filaia_tenant USING (tenant_id = current_tenant());

-- +goose Down
DROP TABLE quota_overruns;
ALTER TABLE quota_leases DROP COLUMN committed_in, DROP COLUMN committed_out, DROP COLUMN reaped_at, ADD COLUMN seen_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE quota_leases ALTER COLUMN seen_at DROP DEFAULT;
ALTER TABLE quota_buckets DROP COLUMN changes;
DROP TABLE replicas;
