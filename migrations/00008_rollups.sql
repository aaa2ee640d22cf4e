-- +goose Up

-- What pages read of long spans is summed up further than usage_hourly, which grows by a row an hour, key and model. A
-- commit pays nothing for it: hours that have ended are folded in afterwards (usage_fold), and readers add what comes
-- after usage_folded.until from usage_hourly itself. Hours are UTC's, so that every zone's days are made of them; a span's
-- whole UTC days come from the tables of days and its edges from those of hours.
CREATE TABLE usage_folded (
    until timestamptz NOT NULL, -- hours before it are folded; days that end before it too
    one   boolean PRIMARY KEY DEFAULT true CHECK (one)
);
INSERT INTO usage_folded (until) VALUES ('1970-01-01 00:00:00+00');

-- The table of columns that all of them sum.
-- +goose StatementBegin
DO $$
DECLARE
    sums text := '';
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['requests', 'failures', 'input_tokens', 'cached_tokens', 'output_tokens', 'reasoning_tokens', 'cost_usd_micros',
        'charge_brl_micros', 'cache_lookups', 'cache_hits', 'served_input', 'served_output', 'saved_usd_micros'] LOOP
        sums := sums || format('%I bigint NOT NULL, ', name);
    END LOOP;
    EXECUTE 'CREATE TABLE usage_hours (hour timestamptz NOT NULL, ' || sums || 'PRIMARY KEY (hour))';
    EXECUTE 'CREATE TABLE usage_tenant_hours (tenant_id bigint NOT NULL, hour timestamptz NOT NULL, ' || sums || 'PRIMARY KEY (tenant_id, hour))';
    EXECUTE 'CREATE TABLE usage_tenant_days (day timestamptz NOT NULL, tenant_id bigint NOT NULL, ' || sums || 'PRIMARY KEY (day, tenant_id))';
    EXECUTE 'CREATE TABLE usage_key_days (tenant_id bigint NOT NULL, day timestamptz NOT NULL, key_id bigint NOT NULL, period_id bigint NOT NULL, '
        || 'model text NOT NULL, ' || sums || 'PRIMARY KEY (tenant_id, day, key_id, period_id, model))';
END $$;
-- +goose StatementEnd
CREATE INDEX usage_tenant_hours_hour ON usage_tenant_hours (hour);
CREATE INDEX usage_key_days_period ON usage_key_days (period_id);

-- usage_fold folds hours before an instant, up to the end of a UTC day, and that day where it is over; it tells whether more
-- is left. Who writes usage_hourly holds the same lock shared until it commits: what was written before is seen here, and what
-- comes later finds the new mark. Writers wait while it folds and stand in line behind it while it waits: so a call takes a day at
-- most, and waits shortly. The server's own clock has a say, since a caller's that is ahead would make all that is written late.
-- +goose StatementBegin
CREATE FUNCTION usage_fold(before timestamptz) RETURNS boolean LANGUAGE plpgsql SET work_mem = '64MB' SET lock_timeout = '200ms' AS $$
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

-- A change of an hour's sums. It is not the type of usage_hourly's rows, which changes with every column that is added there.
CREATE TYPE usage_hour_change AS (hour timestamptz, tenant_id bigint, key_id bigint, period_id bigint, model text, requests bigint,
    failures bigint, input_tokens bigint, cached_tokens bigint, output_tokens bigint, reasoning_tokens bigint, cost_usd_micros bigint,
    charge_brl_micros bigint, cache_lookups bigint, cache_hits bigint, served_input bigint, served_output bigint, saved_usd_micros bigint);

-- usage_fold_late adds changes of hours that are folded already, such as of calls that a spool kept through an outage.
-- Negative sums take away. Who comes here takes turns, so that two never wait for each other crosswise.
-- +goose StatementBegin
CREATE FUNCTION usage_fold_late(late usage_hour_change[], folded timestamptz) RETURNS void LANGUAGE plpgsql AS $$
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

-- Whatever writes usage_hourly keeps what is folded true. For hours that are not folded yet it is one look at the mark.
-- +goose StatementBegin
CREATE FUNCTION usage_hourly_changed() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER usage_hourly_inserted AFTER INSERT ON usage_hourly
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION usage_hourly_changed();
CREATE TRIGGER usage_hourly_updated AFTER UPDATE ON usage_hourly
    REFERENCING NEW TABLE AS added OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION usage_hourly_changed();
CREATE TRIGGER usage_hourly_deleted AFTER DELETE ON usage_hourly
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION usage_hourly_changed();

ALTER TABLE usage_tenant_hours ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON usage_tenant_hours TO filaia_tenant USING (tenant_id = current_tenant());
ALTER TABLE usage_tenant_days ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON usage_tenant_days TO filaia_tenant USING (tenant_id = current_tenant());
ALTER TABLE usage_key_days ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON usage_key_days TO filaia_tenant USING (tenant_id = current_tenant());
GRANT SELECT ON usage_folded TO filaia_tenant;
GRANT SELECT (hour, tenant_id, requests, failures, input_tokens, cached_tokens, output_tokens, reasoning_tokens, charge_brl_micros,
    cache_lookups, cache_hits, served_input, served_output) ON usage_tenant_hours TO filaia_tenant;
GRANT SELECT (day, tenant_id, key_id, period_id, model, requests, failures, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
    charge_brl_micros, cache_lookups, cache_hits, served_input, served_output) ON usage_key_days TO filaia_tenant;

-- +goose Down
DROP TRIGGER usage_hourly_inserted ON usage_hourly;
DROP TRIGGER usage_hourly_updated ON usage_hourly;
DROP TRIGGER usage_hourly_deleted ON usage_hourly;
DROP FUNCTION usage_hourly_changed();
DROP FUNCTION usage_fold_late(usage_hour_change[], timestamptz);
DROP TYPE usage_hour_change;
DROP FUNCTION usage_fold(timestamptz);
DROP TABLE usage_key_days, usage_tenant_days, usage_tenant_hours, usage_hours, usage_folded;
