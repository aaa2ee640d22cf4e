-- +goose Up

-- Limits of a tenant and of a key stand beside those of the plan; the tightest refuses.
ALTER TABLE tenants
    ADD COLUMN requests_per_minute int CHECK (requests_per_minute > 0),
    ADD COLUMN tokens_per_minute   int CHECK (tokens_per_minute > 0),
    ADD COLUMN parallel_calls      int CHECK (parallel_calls > 0),
    ADD COLUMN cache_purges        bigint NOT NULL DEFAULT 0; -- answers kept before the last one are nobody's any more
ALTER TABLE api_keys
    ADD COLUMN requests_per_minute int CHECK (requests_per_minute > 0),
    ADD COLUMN tokens_per_minute   int CHECK (tokens_per_minute > 0),
    ADD COLUMN parallel_calls      int CHECK (parallel_calls > 0),
    ADD COLUMN cache_mode          text CHECK (cache_mode IN ('off', 'exact', 'smart')); -- NULL: as the plan says
GRANT SELECT (requests_per_minute, tokens_per_minute, parallel_calls, cache_mode) ON api_keys TO filaia_tenant;
ALTER TABLE plan_versions
    ADD COLUMN cache_mode           text NOT NULL DEFAULT 'off' CHECK (cache_mode IN ('off', 'exact', 'smart')),
    ADD COLUMN cache_minutes        int NOT NULL DEFAULT 60 CHECK (cache_minutes BETWEEN 1 AND 43200),
    ADD COLUMN cache_billed_percent int NOT NULL DEFAULT 0 CHECK (cache_billed_percent BETWEEN 0 AND 100);
DROP TRIGGER api_keys_notify ON api_keys;
CREATE TRIGGER api_keys_notify AFTER INSERT OR DELETE OR UPDATE OF
    subscription_id, allowed_models, expires_at, revoked_at, hash, name, requests_per_minute, tokens_per_minute, parallel_calls, cache_mode
    ON api_keys FOR EACH ROW EXECUTE FUNCTION notify_caller_change();

-- Tokens served and tokens billed are two figures: an answer of the cache bills what the plan says.
ALTER TABLE usage_events
    ADD COLUMN provider         text NOT NULL DEFAULT '',
    ADD COLUMN cache            text NOT NULL DEFAULT 'bypass' CHECK (cache IN ('bypass', 'miss', 'hit', 'coalesced')),
    ADD COLUMN served_input     bigint NOT NULL DEFAULT 0 CHECK (served_input >= 0),
    ADD COLUMN served_output    bigint NOT NULL DEFAULT 0 CHECK (served_output >= 0),
    ADD COLUMN saved_usd_micros bigint NOT NULL DEFAULT 0;
UPDATE usage_events SET served_input = input_tokens, served_output = output_tokens;
ALTER TABLE usage_hourly
    ADD COLUMN cache_lookups    bigint NOT NULL DEFAULT 0, -- calls that could have been answered from the cache
    ADD COLUMN cache_hits       bigint NOT NULL DEFAULT 0, -- and were, coalesced ones among them
    ADD COLUMN served_input     bigint NOT NULL DEFAULT 0,
    ADD COLUMN served_output    bigint NOT NULL DEFAULT 0,
    ADD COLUMN saved_usd_micros bigint NOT NULL DEFAULT 0;
UPDATE usage_hourly SET served_input = input_tokens, served_output = output_tokens;
GRANT SELECT (cache, served_input, served_output) ON usage_events TO filaia_tenant;
GRANT SELECT (cache_lookups, cache_hits, served_input, served_output) ON usage_hourly TO filaia_tenant;

-- Why a call was refused: what the portal shows for the request id of an error. Swept after 90 days.
CREATE TABLE refusals (
    id          uuid PRIMARY KEY, -- of the request, a UUIDv7
    at          timestamptz NOT NULL,
    tenant_id   bigint NOT NULL REFERENCES tenants,
    key_id      bigint NOT NULL,
    endpoint    text NOT NULL,
    model       text NOT NULL,
    http_status smallint NOT NULL,
    reason      text NOT NULL, -- of the gateway: rate_limited, quota_exhausted, …
    scope       text NOT NULL DEFAULT '', -- key, tenant or plan, where a limit stood in the way
    limit_name  text NOT NULL DEFAULT '', -- requests_per_minute, tokens_per_minute, parallel_calls, input_tokens, output_tokens
    limit_value bigint NOT NULL DEFAULT 0,
    asked       bigint NOT NULL DEFAULT 0,
    remaining   bigint NOT NULL DEFAULT 0,
    resets_at   timestamptz
);
CREATE INDEX refusals_tenant ON refusals (tenant_id, id DESC);
CREATE INDEX refusals_at ON refusals (at);

-- Which provider made a stored response, and for whom: later requests about it go there, and nobody else's do.
CREATE TABLE responses (
    id         text PRIMARY KEY,
    tenant_id  bigint NOT NULL REFERENCES tenants,
    provider   text NOT NULL,
    model      text NOT NULL,
    tokens     bigint NOT NULL DEFAULT 0, -- of the response and what went before it: a bound of what continuing it puts in
    created_at timestamptz NOT NULL
);
CREATE INDEX responses_created ON responses (created_at);

ALTER TABLE refusals ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON refusals TO filaia_tenant USING (tenant_id = current_tenant());
ALTER TABLE responses ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON responses TO filaia_tenant USING (tenant_id = current_tenant());
GRANT SELECT ON refusals, responses TO filaia_tenant;

-- +goose Down
DROP TABLE responses, refusals;
ALTER TABLE usage_hourly DROP COLUMN cache_lookups, DROP COLUMN cache_hits, DROP COLUMN served_input, DROP COLUMN served_output,
    DROP COLUMN saved_usd_micros;
ALTER TABLE usage_events DROP COLUMN provider, DROP COLUMN cache, DROP COLUMN served_input, DROP COLUMN served_output, DROP COLUMN saved_usd_micros;
DROP TRIGGER api_keys_notify ON api_keys;
ALTER TABLE plan_versions DROP COLUMN cache_mode, DROP COLUMN cache_minutes, DROP COLUMN cache_billed_percent;
ALTER TABLE api_keys DROP COLUMN requests_per_minute, DROP COLUMN tokens_per_minute, DROP COLUMN parallel_calls, DROP COLUMN cache_mode;
ALTER TABLE tenants DROP COLUMN requests_per_minute, DROP COLUMN tokens_per_minute, DROP COLUMN parallel_calls, DROP COLUMN cache_purges;
CREATE TRIGGER api_keys_notify AFTER INSERT OR DELETE OR UPDATE OF
    subscription_id, allowed_models, expires_at, revoked_at, hash, name ON api_keys
    FOR EACH ROW EXECUTE FUNCTION notify_caller_change();
