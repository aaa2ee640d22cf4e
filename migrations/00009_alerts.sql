-- +goose Up

-- The language that a customer is written to in; people who sign in have their own.
ALTER TABLE tenants ADD COLUMN language text NOT NULL DEFAULT 'pt-BR' CHECK (language IN ('pt-BR', 'en'));

-- Where alerts go besides e-mail. What opens the door (addresses, tokens, signing secrets) is sealed.
CREATE TABLE alert_channels (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id  bigint REFERENCES tenants, -- NULL: the operator's
    kind       text NOT NULL CHECK (kind IN ('webhook', 'slack', 'teams', 'discord', 'telegram')),
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    target     text NOT NULL,             -- what people may see of it: a host, a chat
    sealed     bytea NOT NULL,
    language   text NOT NULL DEFAULT 'pt-BR' CHECK (language IN ('pt-BR', 'en')),
    active     boolean NOT NULL DEFAULT true,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alert_channels_tenant ON alert_channels (tenant_id);

-- What is watched, and who is told. Of one audience and metric the closest scope decides: key, tenant, plan, all.
-- Deleted rules stay, because what they raised names them.
CREATE TABLE alert_rules (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text NOT NULL DEFAULT '' CHECK (length(name) <= 120), -- '': in words
    audience         text NOT NULL CHECK (audience IN ('operator', 'customer')),
    scope            text NOT NULL CHECK (scope IN ('all', 'plan', 'tenant', 'key')),
    plan_id          bigint REFERENCES plans,
    tenant_id        bigint REFERENCES tenants,
    key_id           bigint REFERENCES api_keys,
    metric           text NOT NULL,
    unit             text NOT NULL,
    thresholds       bigint[] NOT NULL -- ascending; percent in hundredths, money in micros
        CHECK (array_ndims(thresholds) = 1 AND cardinality(thresholds) BETWEEN 1 AND 10 AND array_position(thresholds, NULL) IS NULL),
    direction        text NOT NULL DEFAULT 'up' CHECK (direction IN ('up', 'down', 'both')),
    window_minutes   int NOT NULL DEFAULT 0 CHECK (window_minutes BETWEEN 0 AND 1440),
    rearm_minutes    int NOT NULL DEFAULT 60 CHECK (rearm_minutes BETWEEN 0 AND 10080),
    enabled          boolean NOT NULL DEFAULT true,                              -- off: nothing of its scope is told, not even by wider rules
    roles            text[] NOT NULL DEFAULT '{}',                               -- of the team, or of the customer's users
    contacts         boolean NOT NULL DEFAULT false,                             -- the customer's e-mail address
    addresses        text[] NOT NULL DEFAULT '{}',
    language         text NOT NULL DEFAULT 'pt-BR' CHECK (language IN ('pt-BR', 'en')), -- of addresses
    channel_ids      bigint[] NOT NULL DEFAULT '{}',
    quiet_from       smallint CHECK (quiet_from BETWEEN 0 AND 1439),             -- minutes of the day in the reader's zone
    quiet_until      smallint CHECK (quiet_until BETWEEN 0 AND 1439),
    daily_at         smallint CHECK (daily_at BETWEEN 0 AND 1439),               -- NULL: at once
    last_at_once     boolean NOT NULL DEFAULT true,                              -- its highest threshold waits for neither
    escalate_minutes int CHECK (escalate_minutes BETWEEN 1 AND 10080),
    escalate_roles   text[] NOT NULL DEFAULT '{}',
    escalate_to      text[] NOT NULL DEFAULT '{}',
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    deleted_at       timestamptz,
    CHECK ((quiet_from IS NULL) = (quiet_until IS NULL)),
    CHECK (num_nulls(array_position(roles, NULL), array_position(addresses, NULL), array_position(channel_ids, NULL), array_position(escalate_roles, NULL),
        array_position(escalate_to, NULL)) = 5), -- none of them holds a null
    CHECK (scope = 'all' AND num_nonnulls(plan_id, tenant_id, key_id) = 0
        OR scope = 'plan' AND plan_id IS NOT NULL AND num_nonnulls(tenant_id, key_id) = 0
        OR scope = 'tenant' AND tenant_id IS NOT NULL AND num_nonnulls(plan_id, key_id) = 0
        OR scope = 'key' AND key_id IS NOT NULL AND tenant_id IS NOT NULL AND plan_id IS NULL),
    CONSTRAINT alert_rules_key_tenant FOREIGN KEY (key_id, tenant_id) REFERENCES api_keys (id, tenant_id)
);
CREATE INDEX alert_rules_all ON alert_rules (metric) WHERE scope = 'all' AND deleted_at IS NULL;
CREATE INDEX alert_rules_plan ON alert_rules (plan_id) WHERE plan_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX alert_rules_tenant ON alert_rules (tenant_id) WHERE tenant_id IS NOT NULL AND deleted_at IS NULL;

-- Grows with every change of a rule: a bucket whose alert_version is another is looked at again.
CREATE TABLE alert_version (one boolean PRIMARY KEY DEFAULT true CHECK (one), version bigint NOT NULL);
INSERT INTO alert_version (version) VALUES (1);
-- +goose StatementBegin
CREATE FUNCTION alert_rules_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE alert_version SET version = version + 1;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- The sum of what the period's calls were charged, and the use from which on its alerts must be looked at: at every commit,
-- and by any replica, one comparison tells that there is nothing to do.
ALTER TABLE quota_buckets
    ADD COLUMN charge_brl_micros bigint NOT NULL DEFAULT 0,
    ADD COLUMN alert_version     bigint NOT NULL DEFAULT 0, -- 0: not looked at under these limits
    ADD COLUMN alert_in          bigint,                    -- NULL: nothing is left to raise
    ADD COLUMN alert_out         bigint,
    ADD COLUMN alert_charge      bigint;
UPDATE quota_buckets b SET charge_brl_micros = h.charge
    FROM (SELECT period_id, sum(charge_brl_micros)::bigint AS charge FROM usage_hourly GROUP BY 1) h WHERE h.period_id = b.period_id;
UPDATE quota_buckets b SET alert_version = -1 FROM billing_periods p WHERE p.id = b.period_id AND p.ends_at <= now(); -- nobody is told of these
CREATE INDEX quota_buckets_unlooked ON quota_buckets (period_id) WHERE alert_version = 0;
-- +goose StatementBegin
CREATE FUNCTION quota_bucket_limits_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.alert_version := 0;
    RETURN NEW;
END $$;
-- +goose StatementEnd
-- A commit sets none of these columns, and so pays nothing for it.
CREATE TRIGGER quota_buckets_limits BEFORE UPDATE OF hard, limit_in, limit_out ON quota_buckets
    FOR EACH ROW EXECUTE FUNCTION quota_bucket_limits_changed();

-- Periods that are open are few beside those that ever were.
CREATE INDEX billing_periods_ends ON billing_periods (ends_at);

-- What was raised, once each. The subject is 'subscription:7', 'tenant:3', 'key:9', 'provider:2', 'replica:NAME' or 'installation';
-- the period is where the billing period or the day begins, or when something that comes and goes began.
CREATE TABLE alert_events (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_id        uuid NOT NULL,         -- raised together: one message
    lead            boolean NOT NULL,      -- the highest of its group, audience and metric
    rule_id         bigint NOT NULL REFERENCES alert_rules,
    audience        text NOT NULL CHECK (audience IN ('operator', 'customer')),
    metric          text NOT NULL,
    unit            text NOT NULL,
    subject         text NOT NULL,
    tenant_id       bigint,                -- no references: a commit, which holds buckets, would wait for who changes a plan, who waits for buckets
    subscription_id bigint,
    key_id          bigint,
    provider_id     bigint,
    period          timestamptz NOT NULL,
    threshold       bigint NOT NULL,
    value           bigint NOT NULL,       -- when it was raised
    details         jsonb NOT NULL DEFAULT '{}',
    raised_at       timestamptz NOT NULL,
    dispatched_at   timestamptz,           -- its messages are in deliveries
    acknowledged_at timestamptz,
    acknowledged_by text NOT NULL DEFAULT '',
    resolved_at     timestamptz,
    CONSTRAINT alert_events_once UNIQUE (rule_id, subject, period, metric, unit, threshold)
);
CREATE INDEX alert_events_waiting ON alert_events (id) WHERE dispatched_at IS NULL;
CREATE INDEX alert_events_open ON alert_events (metric, subject) WHERE resolved_at IS NULL;
CREATE INDEX alert_events_tenant ON alert_events (tenant_id, id DESC);
CREATE INDEX alert_events_subject ON alert_events (subject, period);
CREATE INDEX alert_events_group ON alert_events (group_id);
-- +goose StatementBegin
CREATE FUNCTION notify_alerts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('filaia_alerts', '');
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER alert_events_notify AFTER INSERT OR UPDATE ON alert_events FOR EACH STATEMENT EXECUTE FUNCTION notify_alerts();

-- One message to one recipient. A batch is what it was made for: 'group:UUID', 'held:…', 'daily:…', 'escalation:UUID'.
CREATE TABLE deliveries (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id  uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT deliveries_message_unique UNIQUE, -- Message-ID and webhook-id of every attempt
    batch       text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('alert', 'digest', 'escalation')),
    audience    text NOT NULL CHECK (audience IN ('operator', 'customer')),
    tenant_id   bigint REFERENCES tenants,   -- of a customer's message
    channel     text NOT NULL CHECK (channel IN ('email', 'webhook', 'slack', 'teams', 'discord', 'telegram')),
    channel_id  bigint REFERENCES alert_channels,
    recipient   text NOT NULL,               -- an address, or 'channel:ID'
    name        text NOT NULL DEFAULT '',
    language    text NOT NULL CHECK (language IN ('pt-BR', 'en')),
    event_ids   bigint[] NOT NULL CHECK (cardinality(event_ids) > 0),
    state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead', 'cancelled')),
    attempts    int NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz,
    CONSTRAINT deliveries_once UNIQUE (batch, recipient)
);
CREATE INDEX deliveries_events ON deliveries USING gin (event_ids);
CREATE INDEX deliveries_state ON deliveries (state, id DESC);

CREATE TABLE delivery_attempts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id bigint NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    at          timestamptz NOT NULL,
    took_ms     bigint NOT NULL,
    outcome     text NOT NULL CHECK (outcome IN ('delivered', 'retry', 'refused')),
    answer      text NOT NULL DEFAULT '', -- the other side's words, without secrets
    replica     text NOT NULL DEFAULT ''
);
CREATE INDEX delivery_attempts_delivery ON delivery_attempts (delivery_id, id);

-- Until when nobody is told of a rule's subject. What is raised meanwhile waits.
CREATE TABLE alert_snoozes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id    bigint NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    subject    text NOT NULL,
    until      timestamptz NOT NULL,
    actor      text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT alert_snoozes_once UNIQUE (rule_id, subject)
);

-- Up to which alert a person has seen their inbox.
CREATE TABLE alert_seen (
    user_id  bigint PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    event_id bigint NOT NULL
);

-- Who of a customer's contacts asked for no more e-mail of a metric; '' is all of them.
CREATE TABLE alert_unsubscribes (
    tenant_id bigint NOT NULL REFERENCES tenants,
    address   text NOT NULL,
    metric    text NOT NULL DEFAULT '',
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, address, metric)
);

-- What a new installation watches; all of it can be changed on the page of rules.
INSERT INTO alert_rules (audience, scope, metric, unit, thresholds, window_minutes, roles, contacts, enabled) VALUES
    ('customer', 'all', 'input_quota',   'percent', '{5000,8000,9000,10000}', 0, '{tenant_admin}', true, true),
    ('customer', 'all', 'output_quota',  'percent', '{5000,8000,9000,10000}', 0, '{tenant_admin}', true, true),
    ('customer', 'all', 'overage',       'brl',     '{50000000,100000000,250000000,500000000}', 0, '{tenant_admin}', true, true),
    ('customer', 'all', 'spend_cap',     'percent', '{5000,8000,9000,10000}', 0, '{tenant_admin}', true, true),
    ('customer', 'all', 'key_address',   'count',   '{1}', 0, '{tenant_admin}', false, false),
    ('operator', 'all', 'input_quota',   'percent', '{5000,8000,9000,10000}', 0, '{owner,manager}', false, true),
    ('operator', 'all', 'output_quota',  'percent', '{5000,8000,9000,10000}', 0, '{owner,manager}', false, true),
    ('operator', 'all', 'spend_cap',     'percent', '{10000}', 0, '{owner,manager}', false, true),
    ('operator', 'all', 'forecast',      'percent', '{12000}', 0, '{owner,manager}', false, true),
    ('operator', 'all', 'error_rate',    'percent', '{500,2000}', 10, '{owner,manager}', false, true),
    ('operator', 'all', 'latency_p95',   'ms',      '{20000}', 10, '{owner,manager}', false, true),
    ('operator', 'all', 'breaker_open',  'seconds', '{60,600}', 0, '{owner,manager}', false, true),
    ('operator', 'all', 'provider_429',  'count',   '{20,200}', 10, '{owner,manager}', false, true),
    ('operator', 'all', 'queue_age',     'seconds', '{600,3600}', 0, '{owner,manager}', false, true),
    ('operator', 'all', 'spool_lag',     'seconds', '{60,600}', 0, '{owner,manager}', false, true),
    ('operator', 'all', 'sudden_change', 'percent', '{30000}', 0, '{owner,manager}', false, true),
    ('operator', 'all', 'rate_stale',    'days',    '{7,30}', 0, '{owner}', false, true),
    ('operator', 'all', 'key_unused',    'days',    '{60}', 0, '{owner,manager}', false, false);

CREATE TRIGGER alert_rules_changed AFTER INSERT OR UPDATE OR DELETE ON alert_rules FOR EACH STATEMENT EXECUTE FUNCTION alert_rules_changed();

-- Customers see what is meant for them.
ALTER TABLE alert_rules ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON alert_rules TO filaia_tenant
    USING (audience = 'customer' AND coalesce(tenant_id, current_tenant()) = current_tenant());
ALTER TABLE alert_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON alert_events TO filaia_tenant USING (audience = 'customer' AND tenant_id = current_tenant());
ALTER TABLE deliveries ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON deliveries TO filaia_tenant USING (audience = 'customer' AND tenant_id = current_tenant());
ALTER TABLE delivery_attempts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON delivery_attempts TO filaia_tenant
    USING (EXISTS (SELECT FROM deliveries d WHERE d.id = delivery_id AND d.audience = 'customer' AND d.tenant_id = current_tenant()));
ALTER TABLE alert_channels ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON alert_channels TO filaia_tenant USING (tenant_id = current_tenant());
ALTER TABLE alert_snoozes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON alert_snoozes TO filaia_tenant
    USING (EXISTS (SELECT FROM alert_events e WHERE e.rule_id = alert_snoozes.rule_id AND e.subject = alert_snoozes.subject));
ALTER TABLE alert_unsubscribes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON alert_unsubscribes TO filaia_tenant USING (tenant_id = current_tenant());
GRANT SELECT ON alert_rules, alert_events, deliveries, delivery_attempts, alert_snoozes, alert_unsubscribes TO filaia_tenant;
GRANT SELECT (id, tenant_id, kind, name, target, language, active, deleted_at, created_at) ON alert_channels TO filaia_tenant;

-- +goose Down
DROP INDEX billing_periods_ends, quota_buckets_unlooked;
DROP TABLE alert_unsubscribes, alert_seen, alert_snoozes, delivery_attempts, deliveries, alert_events, alert_rules, alert_version, alert_channels;
DROP FUNCTION notify_alerts();
DROP FUNCTION alert_rules_changed();
DROP TRIGGER quota_buckets_limits ON quota_buckets;
DROP FUNCTION quota_bucket_limits_changed();
ALTER TABLE quota_buckets DROP COLUMN charge_brl_micros, DROP COLUMN alert_version, DROP COLUMN alert_in, DROP COLUMN alert_out, DROP COLUMN alert_charge;
ALTER TABLE tenants DROP COLUMN language;
