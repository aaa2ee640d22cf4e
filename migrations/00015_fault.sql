-- +goose Up

-- Whether a call that ended in an error failed through what its caller sent, which no service can help: the provider refused
-- it as malformed, too large, or as asking for what does not exist. The operator's account, its credit, its rates and whatever
-- took too long are not the caller's. The same stands in internal/usage (Event.CallersFault).
CREATE FUNCTION usage_callers_fault(status text, http_status smallint) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN status = 'error' AND http_status BETWEEN 400 AND 499 AND http_status NOT IN (402, 407, 408, 425, 429);

-- What callers brought on themselves in the last weeks, as far back as anybody looks by the hour. It is read before anything is
-- locked: who commits does not wait for it. Earlier hours count it among the failures of the service, as they did.
CREATE TEMPORARY TABLE caller_errors_past ON COMMIT DROP AS
    SELECT date_bin('1 hour', created_at, timestamptz 'epoch') AS hour, tenant_id, key_id, period_id, model, count(*) AS errors
    FROM usage_events WHERE created_at >= date_trunc('hour', now() - interval '35 days', 'UTC') AND usage_callers_fault(status, http_status)
    GROUP BY 1, 2, 3, 4, 5;

-- Of the failures, which are all calls that ended in an error, those that are the callers' own. A version of the program
-- that does not know of it counts none.
ALTER TABLE usage_hourly ADD COLUMN caller_errors bigint NOT NULL DEFAULT 0;
ALTER TABLE usage_minutes ADD COLUMN caller_errors bigint NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN caller_errors bigint NOT NULL DEFAULT 0;
ALTER TABLE usage_tenant_hours ADD COLUMN caller_errors bigint NOT NULL DEFAULT 0;
ALTER TABLE usage_tenant_days ADD COLUMN caller_errors bigint NOT NULL DEFAULT 0;
ALTER TABLE usage_key_days ADD COLUMN caller_errors bigint NOT NULL DEFAULT 0;
ALTER TYPE usage_hour_change ADD ATTRIBUTE caller_errors bigint;
GRANT SELECT (caller_errors) ON usage_hourly, usage_tenant_hours, usage_key_days TO filaia_tenant;

-- From which hour on every replica surely counts it, so that the audit of the books can hold hours to their calls.
ALTER TABLE usage_folded ADD COLUMN callers_since timestamptz NOT NULL DEFAULT '-infinity';
UPDATE usage_folded SET callers_since = date_trunc('hour', now(), 'UTC') + interval '2 hours' WHERE EXISTS (SELECT FROM usage_hourly);

-- The functions of 00008, with the new sum.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION usage_fold(before timestamptz) RETURNS boolean LANGUAGE plpgsql SET work_mem = '64MB' SET lock_timeout = '200ms' AS $$
DECLARE
    last_hour  timestamptz := date_trunc('hour', least(before, now() - interval '5 minutes'), 'UTC');
    hours_from timestamptz;
    hours_to   timestamptz;
    days_from  timestamptz;
    days_to    timestamptz;
    oldest     timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('filaia_usage_fold'));
    SELECT f.until, date_trunc('day', f.until, 'UTC') INTO hours_from, days_from FROM usage_folded f;
    IF last_hour <= hours_from THEN
        RETURN false;
    END IF;
    oldest := hours_from; -- of what is not folded; in the middle of a day that is also what the day lacks
    IF hours_from = days_from THEN
        SELECT coalesce(min(hour), last_hour) INTO oldest FROM usage_hourly WHERE hour >= hours_from;
    END IF;
    hours_to := least(last_hour, date_trunc('day', oldest, 'UTC') + interval '24 hours');
    days_to := date_trunc('day', hours_to, 'UTC');
    INSERT INTO usage_tenant_hours (tenant_id, hour, requests, failures, caller_errors, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
            cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
        SELECT tenant_id, hour, sum(requests), sum(failures), sum(caller_errors), sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens),
            sum(cost_usd_micros), sum(charge_brl_micros), sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output), sum(saved_usd_micros)
        FROM usage_hourly WHERE hour >= hours_from AND hour < hours_to GROUP BY hour, tenant_id ORDER BY hour, tenant_id;
    INSERT INTO usage_hours (hour, requests, failures, caller_errors, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
            cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
        SELECT hour, sum(requests), sum(failures), sum(caller_errors), sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens),
            sum(cost_usd_micros), sum(charge_brl_micros), sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output), sum(saved_usd_micros)
        FROM usage_tenant_hours WHERE hour >= hours_from AND hour < hours_to GROUP BY hour ORDER BY hour;
    IF days_to > days_from THEN
        INSERT INTO usage_key_days (day, tenant_id, key_id, period_id, model, requests, failures, caller_errors, input_tokens, cached_tokens, output_tokens,
                reasoning_tokens, cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
            SELECT date_trunc('day', hour, 'UTC') AS day, tenant_id, key_id, period_id, model, sum(requests), sum(failures), sum(caller_errors), sum(input_tokens),
                sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens), sum(cost_usd_micros), sum(charge_brl_micros),
                sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output), sum(saved_usd_micros)
            FROM usage_hourly WHERE hour >= days_from AND hour < days_to GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5;
        INSERT INTO usage_tenant_days (day, tenant_id, requests, failures, caller_errors, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
                cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
            SELECT date_trunc('day', hour, 'UTC') AS day, tenant_id, sum(requests), sum(failures), sum(caller_errors), sum(input_tokens), sum(cached_tokens),
                sum(output_tokens), sum(reasoning_tokens), sum(cost_usd_micros), sum(charge_brl_micros),
                sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output), sum(saved_usd_micros)
            FROM usage_tenant_hours WHERE hour >= days_from AND hour < days_to GROUP BY 1, 2 ORDER BY 1, 2;
    END IF;
    UPDATE usage_folded SET until = hours_to;
    RETURN hours_to < last_hour;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION usage_fold_late(late usage_hour_change[], folded timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('filaia_usage_fold_late'));
    INSERT INTO usage_hours AS u (hour, requests, failures, caller_errors, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
            cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
        SELECT hour, sum(requests), sum(failures), sum(caller_errors), sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens),
            sum(cost_usd_micros), sum(charge_brl_micros), sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output), sum(saved_usd_micros)
        FROM unnest(late) GROUP BY hour ORDER BY hour
        ON CONFLICT (hour) DO UPDATE SET requests = u.requests + excluded.requests, failures = u.failures + excluded.failures, caller_errors = u.caller_errors + excluded.caller_errors,
            input_tokens = u.input_tokens + excluded.input_tokens, cached_tokens = u.cached_tokens + excluded.cached_tokens,
            output_tokens = u.output_tokens + excluded.output_tokens, reasoning_tokens = u.reasoning_tokens + excluded.reasoning_tokens,
            cost_usd_micros = u.cost_usd_micros + excluded.cost_usd_micros, charge_brl_micros = u.charge_brl_micros + excluded.charge_brl_micros,
            cache_lookups = u.cache_lookups + excluded.cache_lookups, cache_hits = u.cache_hits + excluded.cache_hits,
            served_input = u.served_input + excluded.served_input, served_output = u.served_output + excluded.served_output,
            saved_usd_micros = u.saved_usd_micros + excluded.saved_usd_micros;
    INSERT INTO usage_tenant_hours AS u (tenant_id, hour, requests, failures, caller_errors, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
            cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
        SELECT tenant_id, hour, sum(requests), sum(failures), sum(caller_errors), sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens),
            sum(cost_usd_micros), sum(charge_brl_micros), sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output), sum(saved_usd_micros)
        FROM unnest(late) GROUP BY tenant_id, hour ORDER BY tenant_id, hour
        ON CONFLICT (tenant_id, hour) DO UPDATE SET requests = u.requests + excluded.requests, failures = u.failures + excluded.failures, caller_errors = u.caller_errors + excluded.caller_errors,
            input_tokens = u.input_tokens + excluded.input_tokens, cached_tokens = u.cached_tokens + excluded.cached_tokens,
            output_tokens = u.output_tokens + excluded.output_tokens, reasoning_tokens = u.reasoning_tokens + excluded.reasoning_tokens,
            cost_usd_micros = u.cost_usd_micros + excluded.cost_usd_micros, charge_brl_micros = u.charge_brl_micros + excluded.charge_brl_micros,
            cache_lookups = u.cache_lookups + excluded.cache_lookups, cache_hits = u.cache_hits + excluded.cache_hits,
            served_input = u.served_input + excluded.served_input, served_output = u.served_output + excluded.served_output,
            saved_usd_micros = u.saved_usd_micros + excluded.saved_usd_micros;
    INSERT INTO usage_tenant_days AS u (day, tenant_id, requests, failures, caller_errors, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
            cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
        SELECT date_trunc('day', hour, 'UTC') AS day, tenant_id, sum(requests), sum(failures), sum(caller_errors), sum(input_tokens), sum(cached_tokens), sum(output_tokens),
            sum(reasoning_tokens), sum(cost_usd_micros), sum(charge_brl_micros), sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output),
            sum(saved_usd_micros)
        FROM unnest(late) WHERE hour < date_trunc('day', folded, 'UTC') GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (day, tenant_id) DO UPDATE SET requests = u.requests + excluded.requests, failures = u.failures + excluded.failures, caller_errors = u.caller_errors + excluded.caller_errors,
            input_tokens = u.input_tokens + excluded.input_tokens, cached_tokens = u.cached_tokens + excluded.cached_tokens,
            output_tokens = u.output_tokens + excluded.output_tokens, reasoning_tokens = u.reasoning_tokens + excluded.reasoning_tokens,
            cost_usd_micros = u.cost_usd_micros + excluded.cost_usd_micros, charge_brl_micros = u.charge_brl_micros + excluded.charge_brl_micros,
            cache_lookups = u.cache_lookups + excluded.cache_lookups, cache_hits = u.cache_hits + excluded.cache_hits,
            served_input = u.served_input + excluded.served_input, served_output = u.served_output + excluded.served_output,
            saved_usd_micros = u.saved_usd_micros + excluded.saved_usd_micros;
    INSERT INTO usage_key_days AS u (tenant_id, day, key_id, period_id, model, requests, failures, caller_errors, input_tokens, cached_tokens, output_tokens,
            reasoning_tokens, cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
        SELECT tenant_id, date_trunc('day', hour, 'UTC') AS day, key_id, period_id, model, sum(requests), sum(failures), sum(caller_errors), sum(input_tokens),
            sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens), sum(cost_usd_micros), sum(charge_brl_micros), sum(cache_lookups), sum(cache_hits),
            sum(served_input), sum(served_output), sum(saved_usd_micros)
        FROM unnest(late) WHERE hour < date_trunc('day', folded, 'UTC') GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (tenant_id, day, key_id, period_id, model) DO UPDATE SET requests = u.requests + excluded.requests, failures = u.failures + excluded.failures, caller_errors = u.caller_errors + excluded.caller_errors,
            input_tokens = u.input_tokens + excluded.input_tokens, cached_tokens = u.cached_tokens + excluded.cached_tokens,
            output_tokens = u.output_tokens + excluded.output_tokens, reasoning_tokens = u.reasoning_tokens + excluded.reasoning_tokens,
            cost_usd_micros = u.cost_usd_micros + excluded.cost_usd_micros, charge_brl_micros = u.charge_brl_micros + excluded.charge_brl_micros,
            cache_lookups = u.cache_lookups + excluded.cache_lookups, cache_hits = u.cache_hits + excluded.cache_hits,
            served_input = u.served_input + excluded.served_input, served_output = u.served_output + excluded.served_output,
            saved_usd_micros = u.saved_usd_micros + excluded.saved_usd_micros;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION usage_hourly_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    folded timestamptz;
    late   usage_hour_change[];
    taken  usage_hour_change[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NOT EXISTS (SELECT FROM added) THEN RETURN NULL; END IF;
    ELSE
        IF NOT EXISTS (SELECT FROM gone) THEN RETURN NULL; END IF;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(hashtext('filaia_usage_fold'));
    SELECT f.until INTO folded FROM usage_folded f;
    IF TG_OP <> 'DELETE' THEN
        SELECT array_agg(ROW(a.hour, a.tenant_id, a.key_id, a.period_id, a.model, a.requests, a.failures, a.input_tokens, a.cached_tokens,
                a.output_tokens, a.reasoning_tokens, a.cost_usd_micros, a.charge_brl_micros, a.cache_lookups, a.cache_hits, a.served_input,
                a.served_output, a.saved_usd_micros, a.caller_errors)::usage_hour_change)
            INTO late FROM added a WHERE a.hour < folded;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        SELECT array_agg(ROW(g.hour, g.tenant_id, g.key_id, g.period_id, g.model, -g.requests, -g.failures, -g.input_tokens, -g.cached_tokens,
                -g.output_tokens, -g.reasoning_tokens, -g.cost_usd_micros, -g.charge_brl_micros, -g.cache_lookups, -g.cache_hits, -g.served_input,
                -g.served_output, -g.saved_usd_micros, -g.caller_errors)::usage_hour_change)
            INTO taken FROM gone g WHERE g.hour < folded;
        late := array_cat(late, taken);
    END IF;
    IF late IS NOT NULL THEN
        PERFORM usage_fold_late(late, folded);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

UPDATE usage_hourly h SET caller_errors = least(p.errors, h.failures) FROM caller_errors_past p
    WHERE h.hour = p.hour AND h.tenant_id = p.tenant_id AND h.key_id = p.key_id AND h.period_id = p.period_id AND h.model = p.model;

-- What the watch saw of that of which nothing else is kept: the worst in each five minutes, while there was anything. It is of
-- the installation, its providers and its replicas, and no customer's.
CREATE TABLE watch_looks (
    metric  text NOT NULL,
    at      timestamptz NOT NULL, -- where the five minutes begin
    subject text NOT NULL,
    value   bigint NOT NULL CHECK (value > 0),
    PRIMARY KEY (metric, at, subject)
);

-- +goose Down
DROP TABLE watch_looks;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION usage_fold(before timestamptz) RETURNS boolean LANGUAGE plpgsql SET work_mem = '64MB' SET lock_timeout = '200ms' AS $$
DECLARE
    last_hour  timestamptz := date_trunc('hour', least(before, now() - interval '5 minutes'), 'UTC');
    hours_from timestamptz;
    hours_to   timestamptz;
    days_from  timestamptz;
    days_to    timestamptz;
    oldest     timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('filaia_usage_fold'));
    SELECT f.until, date_trunc('day', f.until, 'UTC') INTO hours_from, days_from FROM usage_folded f;
    IF last_hour <= hours_from THEN
        RETURN false;
    END IF;
    oldest := hours_from; -- of what is not folded; in the middle of a day that is also what the day lacks
    IF hours_from = days_from THEN
        SELECT coalesce(min(hour), last_hour) INTO oldest FROM usage_hourly WHERE hour >= hours_from;
    END IF;
    hours_to := least(last_hour, date_trunc('day', oldest, 'UTC') + interval '24 hours');
    days_to := date_trunc('day', hours_to, 'UTC');
    INSERT INTO usage_tenant_hours (tenant_id, hour, requests, failures, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
            cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
        SELECT tenant_id, hour, sum(requests), sum(failures), sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens),
            sum(cost_usd_micros), sum(charge_brl_micros), sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output), sum(saved_usd_micros)
        FROM usage_hourly WHERE hour >= hours_from AND hour < hours_to GROUP BY hour, tenant_id ORDER BY hour, tenant_id;
    INSERT INTO usage_hours (hour, requests, failures, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
            cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
        SELECT hour, sum(requests), sum(failures), sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens),
            sum(cost_usd_micros), sum(charge_brl_micros), sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output), sum(saved_usd_micros)
        FROM usage_tenant_hours WHERE hour >= hours_from AND hour < hours_to GROUP BY hour ORDER BY hour;
    IF days_to > days_from THEN
        INSERT INTO usage_key_days (day, tenant_id, key_id, period_id, model, requests, failures, input_tokens, cached_tokens, output_tokens,
                reasoning_tokens, cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
            SELECT date_trunc('day', hour, 'UTC') AS day, tenant_id, key_id, period_id, model, sum(requests), sum(failures), sum(input_tokens),
                sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens), sum(cost_usd_micros), sum(charge_brl_micros),
                sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output), sum(saved_usd_micros)
            FROM usage_hourly WHERE hour >= days_from AND hour < days_to GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5;
        INSERT INTO usage_tenant_days (day, tenant_id, requests, failures, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
                cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
            SELECT date_trunc('day', hour, 'UTC') AS day, tenant_id, sum(requests), sum(failures), sum(input_tokens), sum(cached_tokens),
                sum(output_tokens), sum(reasoning_tokens), sum(cost_usd_micros), sum(charge_brl_micros),
                sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output), sum(saved_usd_micros)
            FROM usage_tenant_hours WHERE hour >= days_from AND hour < days_to GROUP BY 1, 2 ORDER BY 1, 2;
    END IF;
    UPDATE usage_folded SET until = hours_to;
    RETURN hours_to < last_hour;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION usage_fold_late(late usage_hour_change[], folded timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('filaia_usage_fold_late'));
    INSERT INTO usage_hours AS u (hour, requests, failures, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
            cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
        SELECT hour, sum(requests), sum(failures), sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens),
            sum(cost_usd_micros), sum(charge_brl_micros), sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output), sum(saved_usd_micros)
        FROM unnest(late) GROUP BY hour ORDER BY hour
        ON CONFLICT (hour) DO UPDATE SET requests = u.requests + excluded.requests, failures = u.failures + excluded.failures,
            input_tokens = u.input_tokens + excluded.input_tokens, cached_tokens = u.cached_tokens + excluded.cached_tokens,
            output_tokens = u.output_tokens + excluded.output_tokens, reasoning_tokens = u.reasoning_tokens + excluded.reasoning_tokens,
            cost_usd_micros = u.cost_usd_micros + excluded.cost_usd_micros, charge_brl_micros = u.charge_brl_micros + excluded.charge_brl_micros,
            cache_lookups = u.cache_lookups + excluded.cache_lookups, cache_hits = u.cache_hits + excluded.cache_hits,
            served_input = u.served_input + excluded.served_input, served_output = u.served_output + excluded.served_output,
            saved_usd_micros = u.saved_usd_micros + excluded.saved_usd_micros;
    INSERT INTO usage_tenant_hours AS u (tenant_id, hour, requests, failures, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
            cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
        SELECT tenant_id, hour, sum(requests), sum(failures), sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens),
            sum(cost_usd_micros), sum(charge_brl_micros), sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output), sum(saved_usd_micros)
        FROM unnest(late) GROUP BY tenant_id, hour ORDER BY tenant_id, hour
        ON CONFLICT (tenant_id, hour) DO UPDATE SET requests = u.requests + excluded.requests, failures = u.failures + excluded.failures,
            input_tokens = u.input_tokens + excluded.input_tokens, cached_tokens = u.cached_tokens + excluded.cached_tokens,
            output_tokens = u.output_tokens + excluded.output_tokens, reasoning_tokens = u.reasoning_tokens + excluded.reasoning_tokens,
            cost_usd_micros = u.cost_usd_micros + excluded.cost_usd_micros, charge_brl_micros = u.charge_brl_micros + excluded.charge_brl_micros,
            cache_lookups = u.cache_lookups + excluded.cache_lookups, cache_hits = u.cache_hits + excluded.cache_hits,
            served_input = u.served_input + excluded.served_input, served_output = u.served_output + excluded.served_output,
            saved_usd_micros = u.saved_usd_micros + excluded.saved_usd_micros;
    INSERT INTO usage_tenant_days AS u (day, tenant_id, requests, failures, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
            cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
        SELECT date_trunc('day', hour, 'UTC') AS day, tenant_id, sum(requests), sum(failures), sum(input_tokens), sum(cached_tokens), sum(output_tokens),
            sum(reasoning_tokens), sum(cost_usd_micros), sum(charge_brl_micros), sum(cache_lookups), sum(cache_hits), sum(served_input), sum(served_output),
            sum(saved_usd_micros)
        FROM unnest(late) WHERE hour < date_trunc('day', folded, 'UTC') GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (day, tenant_id) DO UPDATE SET requests = u.requests + excluded.requests, failures = u.failures + excluded.failures,
            input_tokens = u.input_tokens + excluded.input_tokens, cached_tokens = u.cached_tokens + excluded.cached_tokens,
            output_tokens = u.output_tokens + excluded.output_tokens, reasoning_tokens = u.reasoning_tokens + excluded.reasoning_tokens,
            cost_usd_micros = u.cost_usd_micros + excluded.cost_usd_micros, charge_brl_micros = u.charge_brl_micros + excluded.charge_brl_micros,
            cache_lookups = u.cache_lookups + excluded.cache_lookups, cache_hits = u.cache_hits + excluded.cache_hits,
            served_input = u.served_input + excluded.served_input, served_output = u.served_output + excluded.served_output,
            saved_usd_micros = u.saved_usd_micros + excluded.saved_usd_micros;
    INSERT INTO usage_key_days AS u (tenant_id, day, key_id, period_id, model, requests, failures, input_tokens, cached_tokens, output_tokens,
            reasoning_tokens, cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
        SELECT tenant_id, date_trunc('day', hour, 'UTC') AS day, key_id, period_id, model, sum(requests), sum(failures), sum(input_tokens),
            sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens), sum(cost_usd_micros), sum(charge_brl_micros), sum(cache_lookups), sum(cache_hits),
            sum(served_input), sum(served_output), sum(saved_usd_micros)
        FROM unnest(late) WHERE hour < date_trunc('day', folded, 'UTC') GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (tenant_id, day, key_id, period_id, model) DO UPDATE SET requests = u.requests + excluded.requests, failures = u.failures + excluded.failures,
            input_tokens = u.input_tokens + excluded.input_tokens, cached_tokens = u.cached_tokens + excluded.cached_tokens,
            output_tokens = u.output_tokens + excluded.output_tokens, reasoning_tokens = u.reasoning_tokens + excluded.reasoning_tokens,
            cost_usd_micros = u.cost_usd_micros + excluded.cost_usd_micros, charge_brl_micros = u.charge_brl_micros + excluded.charge_brl_micros,
            cache_lookups = u.cache_lookups + excluded.cache_lookups, cache_hits = u.cache_hits + excluded.cache_hits,
            served_input = u.served_input + excluded.served_input, served_output = u.served_output + excluded.served_output,
            saved_usd_micros = u.saved_usd_micros + excluded.saved_usd_micros;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION usage_hourly_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    folded timestamptz;
    late   usage_hour_change[];
    taken  usage_hour_change[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NOT EXISTS (SELECT FROM added) THEN RETURN NULL; END IF;
    ELSE
        IF NOT EXISTS (SELECT FROM gone) THEN RETURN NULL; END IF;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(hashtext('filaia_usage_fold'));
    SELECT f.until INTO folded FROM usage_folded f;
    IF TG_OP <> 'DELETE' THEN
        SELECT array_agg(ROW(a.hour, a.tenant_id, a.key_id, a.period_id, a.model, a.requests, a.failures, a.input_tokens, a.cached_tokens,
                a.output_tokens, a.reasoning_tokens, a.cost_usd_micros, a.charge_brl_micros, a.cache_lookups, a.cache_hits, a.served_input,
                a.served_output, a.saved_usd_micros)::usage_hour_change)
            INTO late FROM added a WHERE a.hour < folded;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        SELECT array_agg(ROW(g.hour, g.tenant_id, g.key_id, g.period_id, g.model, -g.requests, -g.failures, -g.input_tokens, -g.cached_tokens,
                -g.output_tokens, -g.reasoning_tokens, -g.cost_usd_micros, -g.charge_brl_micros, -g.cache_lookups, -g.cache_hits, -g.served_input,
                -g.served_output, -g.saved_usd_micros)::usage_hour_change)
            INTO taken FROM gone g WHERE g.hour < folded;
        late := array_cat(late, taken);
    END IF;
    IF late IS NOT NULL THEN
        PERFORM usage_fold_late(late, folded);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

ALTER TABLE usage_folded DROP COLUMN callers_since;
ALTER TYPE usage_hour_change DROP ATTRIBUTE caller_errors;
ALTER TABLE usage_key_days DROP COLUMN caller_errors;
ALTER TABLE usage_tenant_days DROP COLUMN caller_errors;
ALTER TABLE usage_tenant_hours DROP COLUMN caller_errors;
ALTER TABLE usage_hours DROP COLUMN caller_errors;
ALTER TABLE usage_minutes DROP COLUMN caller_errors;
ALTER TABLE usage_hourly DROP COLUMN caller_errors;
DROP FUNCTION usage_callers_fault(text, smallint);
