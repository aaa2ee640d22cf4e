-- +goose Up

-- The role that customer pages and /v1/usage read under: row-level security holds it to one tenant.
-- Roles belong to the cluster, not to the database, so it may be there already (and Down leaves it).
-- +goose StatementBegin
DO $$
BEGIN
    CREATE ROLE filaia_tenant NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
DO $$
BEGIN
    -- From PostgreSQL 16 on, who creates a role may administer it but not yet become it.
    EXECUTE format('GRANT filaia_tenant TO %I', current_user);
EXCEPTION WHEN insufficient_privilege THEN
    IF NOT pg_has_role(current_user, 'filaia_tenant', 'MEMBER') THEN
        RAISE;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION current_tenant() RETURNS bigint LANGUAGE sql STABLE AS
$$ SELECT NULLIF(current_setting('filaia.tenant_id', true), '')::bigint $$;
-- +goose StatementEnd

CREATE TABLE settings (
    name        text PRIMARY KEY,
    value       jsonb NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE plans (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug        text NOT NULL CONSTRAINT plans_slug_unique UNIQUE CHECK (slug ~ '^[a-z0-9](-?[a-z0-9])*$' AND length(slug) <= 60),
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    description text NOT NULL DEFAULT '',
    archived_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- A version without published_at is the draft; at most one a plan. A published one never changes again.
CREATE TABLE plan_versions (
    id                         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan_id                    bigint NOT NULL REFERENCES plans,
    number                     int NOT NULL CHECK (number > 0),
    price_micros               bigint NOT NULL CHECK (price_micros >= 0),
    input_tokens               bigint NOT NULL CHECK (input_tokens >= 0),
    output_tokens              bigint NOT NULL CHECK (output_tokens >= 0),
    overage                    text NOT NULL CHECK (overage IN ('block', 'charge')),
    overage_price_micros       bigint NOT NULL DEFAULT 0 CHECK (overage_price_micros >= 0),
    requests_per_minute        int CHECK (requests_per_minute > 0),
    tokens_per_minute          int CHECK (tokens_per_minute > 0),
    parallel_calls             int CHECK (parallel_calls > 0),
    allowed_models             text[] NOT NULL DEFAULT '{}',
    published_at               timestamptz,
    created_at                 timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT plan_versions_number_unique UNIQUE (plan_id, number)
);
CREATE UNIQUE INDEX plan_versions_one_draft ON plan_versions (plan_id) WHERE published_at IS NULL;

-- +goose StatementBegin
CREATE FUNCTION plan_version_is_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.published_at IS NOT NULL THEN
        RAISE EXCEPTION 'plan version % is published and cannot change', OLD.id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'plan_versions_immutable';
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER plan_versions_immutable BEFORE UPDATE OR DELETE ON plan_versions
    FOR EACH ROW EXECUTE FUNCTION plan_version_is_immutable();

CREATE TABLE tenants (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 120),
    email       text NOT NULL DEFAULT '',
    tax_id      text NOT NULL DEFAULT '',
    time_zone   text NOT NULL DEFAULT 'America/Sao_Paulo',
    billing_day int NOT NULL DEFAULT 1 CHECK (billing_day BETWEEN 1 AND 31),
    status      text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'closed')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX tenants_tax_id_unique ON tenants (tax_id) WHERE tax_id <> '' AND status <> 'closed';

-- A tenant's own subscription has no key; a key with a plan of its own has one to itself.
CREATE TABLE subscriptions (
    id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id            bigint NOT NULL REFERENCES tenants,
    scope                text NOT NULL CHECK (scope IN ('tenant', 'key')),
    plan_version_id      bigint NOT NULL REFERENCES plan_versions,
    next_plan_version_id bigint REFERENCES plan_versions,
    anchor_day           int NOT NULL CHECK (anchor_day BETWEEN 1 AND 31),
    started_at           timestamptz NOT NULL,
    ended_at             timestamptz CHECK (ended_at >= started_at),
    CONSTRAINT subscriptions_tenant_match UNIQUE (id, tenant_id)
);
CREATE UNIQUE INDEX subscriptions_one_per_tenant ON subscriptions (tenant_id) WHERE scope = 'tenant' AND ended_at IS NULL;
CREATE INDEX subscriptions_plan_version ON subscriptions (plan_version_id);

CREATE TABLE api_keys (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       bigint NOT NULL REFERENCES tenants,
    subscription_id bigint,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    hash            bytea NOT NULL CONSTRAINT api_keys_hash_unique UNIQUE CHECK (length(hash) = 32),
    hint            text NOT NULL,
    allowed_models  text[] NOT NULL DEFAULT '{}',
    expires_at      timestamptz,
    revoked_at      timestamptz,
    last_used_at    timestamptz,
    rotated_from    bigint REFERENCES api_keys,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT api_keys_subscription_tenant FOREIGN KEY (subscription_id, tenant_id) REFERENCES subscriptions (id, tenant_id),
    CONSTRAINT api_keys_tenant_match UNIQUE (id, tenant_id)
);
CREATE INDEX api_keys_tenant ON api_keys (tenant_id);
CREATE UNIQUE INDEX api_keys_rotated_once ON api_keys (rotated_from) WHERE rotated_from IS NOT NULL;

CREATE TABLE users (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email         text NOT NULL,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 120),
    role          text NOT NULL CHECK (role IN ('owner', 'manager', 'viewer', 'tenant_admin', 'tenant_viewer')),
    tenant_id     bigint REFERENCES tenants,
    password_hash text NOT NULL,
    language      text NOT NULL DEFAULT 'pt-BR' CHECK (language IN ('pt-BR', 'en')),
    theme         text NOT NULL DEFAULT 'auto' CHECK (theme IN ('auto', 'light', 'dark')),
    disabled_at   timestamptz,
    last_login_at timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_tenant_role CHECK ((role IN ('tenant_admin', 'tenant_viewer')) = (tenant_id IS NOT NULL))
);
CREATE UNIQUE INDEX users_email_unique ON users (lower(email));

-- token_hash is the SHA-256 of the cookie's token: a copy of this table opens no session.
CREATE TABLE sessions (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id    bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    data       bytea NOT NULL DEFAULT '',
    address    text NOT NULL DEFAULT '',
    agent      text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Failed sign-ins by subject ("account:a@b.c", "address:10.0.0.1"): who fails waits longer each time.
CREATE TABLE sign_in_failures (
    subject    text PRIMARY KEY,
    failures   int NOT NULL CHECK (failures > 0),
    blocked_until timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    user_id    bigint REFERENCES users ON DELETE SET NULL,
    actor      text NOT NULL,
    tenant_id  bigint REFERENCES tenants,
    action     text NOT NULL,
    subject    text NOT NULL,
    details    jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_at ON audit_log (at DESC);

-- Replicas keep callers in memory; whatever changes a caller tells them which tenant to forget (0: all).
-- +goose StatementBegin
CREATE FUNCTION notify_caller_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant bigint;
BEGIN
    IF TG_TABLE_NAME = 'tenants' THEN
        tenant := CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END;
    ELSE
        tenant := CASE WHEN TG_OP = 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END;
    END IF;
    PERFORM pg_notify('filaia_callers', tenant::text);
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER tenants_notify AFTER INSERT OR UPDATE OR DELETE ON tenants
    FOR EACH ROW EXECUTE FUNCTION notify_caller_change();
CREATE TRIGGER subscriptions_notify AFTER INSERT OR UPDATE OR DELETE ON subscriptions
    FOR EACH ROW EXECUTE FUNCTION notify_caller_change();
-- last_used_at changes all the time and changes no caller.
CREATE TRIGGER api_keys_notify AFTER INSERT OR DELETE OR UPDATE OF
    subscription_id, allowed_models, expires_at, revoked_at, hash, name ON api_keys
    FOR EACH ROW EXECUTE FUNCTION notify_caller_change();

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON tenants TO filaia_tenant USING (id = current_tenant());
ALTER TABLE subscriptions ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON subscriptions TO filaia_tenant USING (tenant_id = current_tenant());
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON api_keys TO filaia_tenant USING (tenant_id = current_tenant());

GRANT SELECT ON plans, plan_versions, tenants, subscriptions TO filaia_tenant;
-- Everything of a key but its hash.
GRANT SELECT (id, tenant_id, subscription_id, name, hint, allowed_models, expires_at, revoked_at, last_used_at, rotated_from, created_at)
    ON api_keys TO filaia_tenant;

-- +goose Down
DROP TABLE audit_log, sign_in_failures, sessions, users, api_keys, subscriptions, tenants, plan_versions, plans, settings;
DROP FUNCTION notify_caller_change();
DROP FUNCTION plan_version_is_immutable();
DROP FUNCTION current_tenant();
