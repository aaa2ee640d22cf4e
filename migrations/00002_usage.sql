-- +goose Up

-- Public model names and what a million of their tokens cost the operator, in US$ micros.
CREATE TABLE models (
    name                      text PRIMARY KEY,
    owned_by                  text NOT NULL DEFAULT 'openai',
    input_price_micros        bigint NOT NULL CHECK (input_price_micros >= 0),
    cached_input_price_micros bigint NOT NULL CHECK (cached_input_price_micros >= 0),
    output_price_micros       bigint NOT NULL CHECK (output_price_micros >= 0),
    max_output_tokens         bigint NOT NULL CHECK (max_output_tokens > 0),
    active                    boolean NOT NULL DEFAULT true,
    is_default                boolean NOT NULL DEFAULT false,
    created_at                timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX models_one_default ON models (is_default) WHERE is_default;

-- +goose StatementBegin
CREATE FUNCTION notify_model_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('filaia_models', '');
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER models_notify AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON models
    FOR EACH STATEMENT EXECUTE FUNCTION notify_model_change();

-- Edges are computed once, in Go, in the tenant's zone, and kept in UTC. The plan is pinned for the period.
CREATE TABLE billing_periods (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription_id bigint NOT NULL,
    tenant_id       bigint NOT NULL,
    plan_version_id bigint NOT NULL REFERENCES plan_versions,
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL,
    CHECK (ends_at > starts_at),
    CONSTRAINT billing_periods_once UNIQUE (subscription_id, starts_at),
    CONSTRAINT billing_periods_tenant_match UNIQUE (id, tenant_id),
    FOREIGN KEY (subscription_id, tenant_id) REFERENCES subscriptions (id, tenant_id)
);

-- used counts every billed token; overrun is the part of used that no limit could stop (a provider that reports
-- more than was held, a late event). What the limit promises: used - overrun + leased never exceeds it.
CREATE TABLE quota_buckets (
    period_id   bigint PRIMARY KEY,
    tenant_id   bigint NOT NULL,
    hard        boolean NOT NULL,
    limit_in    bigint NOT NULL CHECK (limit_in >= 0),
    used_in     bigint NOT NULL DEFAULT 0 CHECK (used_in >= 0),
    leased_in   bigint NOT NULL DEFAULT 0 CHECK (leased_in >= 0),
    overrun_in  bigint NOT NULL DEFAULT 0 CHECK (overrun_in BETWEEN 0 AND used_in),
    limit_out   bigint NOT NULL CHECK (limit_out >= 0),
    used_out    bigint NOT NULL DEFAULT 0 CHECK (used_out >= 0),
    leased_out  bigint NOT NULL DEFAULT 0 CHECK (leased_out >= 0),
    overrun_out bigint NOT NULL DEFAULT 0 CHECK (overrun_out BETWEEN 0 AND used_out),
    CONSTRAINT quota_buckets_within_limit_in CHECK (NOT hard OR used_in - overrun_in + leased_in <= limit_in),
    CONSTRAINT quota_buckets_within_limit_out CHECK (NOT hard OR used_out - overrun_out + leased_out <= limit_out),
    FOREIGN KEY (period_id, tenant_id) REFERENCES billing_periods (id, tenant_id)
);

CREATE TABLE quota_leases (
    period_id  bigint NOT NULL REFERENCES quota_buckets,
    replica    text NOT NULL,
    leased_in  bigint NOT NULL DEFAULT 0 CHECK (leased_in >= 0),
    leased_out bigint NOT NULL DEFAULT 0 CHECK (leased_out >= 0),
    seen_at    timestamptz NOT NULL,
    returned   uuid, -- the last hand-back, so that one whose answer was lost may come again
    PRIMARY KEY (period_id, replica)
);
CREATE INDEX quota_leases_replica ON quota_leases (replica);

-- One row a call that reached the provider. The id is a UUIDv7 whose time is created_at.
CREATE TABLE usage_events (
    id               uuid NOT NULL,
    created_at       timestamptz NOT NULL,
    tenant_id        bigint NOT NULL,
    key_id           bigint NOT NULL,
    period_id        bigint NOT NULL,
    model            text NOT NULL,
    endpoint         text NOT NULL,
    status           text NOT NULL CHECK (status IN ('ok', 'error', 'aborted', 'interrupted')),
    http_status      smallint NOT NULL,
    streamed         boolean NOT NULL,
    estimated        boolean NOT NULL,
    input_tokens     bigint NOT NULL CHECK (input_tokens >= 0),
    cached_tokens    bigint NOT NULL CHECK (cached_tokens BETWEEN 0 AND input_tokens),
    output_tokens    bigint NOT NULL CHECK (output_tokens >= 0),
    reasoning_tokens bigint NOT NULL CHECK (reasoning_tokens BETWEEN 0 AND output_tokens),
    cost_usd_micros  bigint NOT NULL,
    charge_brl_micros bigint NOT NULL DEFAULT 0,
    latency_ms       int NOT NULL,
    first_byte_ms    int NOT NULL,
    request_id       text NOT NULL,
    provider_id      text NOT NULL DEFAULT '',
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX usage_events_tenant ON usage_events (tenant_id, id);
-- Partitions by month are made ahead by the program; this one catches what no month takes, so that no event is lost.
CREATE TABLE usage_events_default PARTITION OF usage_events DEFAULT;

CREATE TABLE usage_hourly (
    hour              timestamptz NOT NULL,
    tenant_id         bigint NOT NULL,
    key_id            bigint NOT NULL,
    period_id         bigint NOT NULL,
    model             text NOT NULL,
    requests          bigint NOT NULL,
    failures          bigint NOT NULL,
    input_tokens      bigint NOT NULL,
    cached_tokens     bigint NOT NULL,
    output_tokens     bigint NOT NULL,
    reasoning_tokens  bigint NOT NULL,
    cost_usd_micros   bigint NOT NULL,
    charge_brl_micros bigint NOT NULL,
    PRIMARY KEY (hour, tenant_id, key_id, period_id, model)
);
CREATE INDEX usage_hourly_tenant ON usage_hourly (tenant_id, hour);
CREATE INDEX usage_hourly_period ON usage_hourly (period_id);

-- The live chart's last hour; older rows are swept.
CREATE TABLE usage_minutes (
    minute        timestamptz NOT NULL,
    tenant_id     bigint NOT NULL,
    requests      bigint NOT NULL,
    failures      bigint NOT NULL,
    input_tokens  bigint NOT NULL,
    output_tokens bigint NOT NULL,
    PRIMARY KEY (minute, tenant_id)
);

ALTER TABLE billing_periods ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON billing_periods TO filaia_tenant USING (tenant_id = current_tenant());
ALTER TABLE quota_buckets ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON quota_buckets TO filaia_tenant USING (tenant_id = current_tenant());
ALTER TABLE usage_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON usage_events TO filaia_tenant USING (tenant_id = current_tenant());
ALTER TABLE usage_hourly ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON usage_hourly TO filaia_tenant USING (tenant_id = current_tenant());
ALTER TABLE usage_minutes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON usage_minutes TO filaia_tenant USING (tenant_id = current_tenant());

-- A customer sees tokens and what it is charged, not what the operator pays the provider.
GRANT SELECT ON billing_periods, quota_buckets, usage_minutes TO filaia_tenant;
GRANT SELECT (id, created_at, tenant_id, key_id, period_id, model, endpoint, status, http_status, streamed, estimated, input_tokens,
    cached_tokens, output_tokens, reasoning_tokens, charge_brl_micros, latency_ms, first_byte_ms, request_id) ON usage_events TO filaia_tenant;
GRANT SELECT (hour, tenant_id, key_id, period_id, model, requests, failures, input_tokens, cached_tokens, output_tokens,
    reasoning_tokens, charge_brl_micros) ON usage_hourly TO filaia_tenant;

-- +goose Down
DROP TABLE usage_minutes, usage_hourly, usage_events, quota_leases, quota_buckets, billing_periods, models;
DROP FUNCTION notify_model_change();
