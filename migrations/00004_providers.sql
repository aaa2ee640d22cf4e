-- +goose Up

-- Who answers the calls. The one that comes with the product takes its address and credential from the environment
-- (OPENAI_BASE_URL, OPENAI_API_KEY) for as long as none are given here. credential is sealed by the program (AES-GCM).
CREATE TABLE providers (
    id                      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug                    text NOT NULL CONSTRAINT providers_slug_unique UNIQUE CHECK (slug ~ '^[a-z0-9](-?[a-z0-9])*$' AND length(slug) <= 60),
    name                    text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    kind                    text NOT NULL CHECK (kind IN ('openai', 'azure', 'compatible')),
    base_url                text NOT NULL DEFAULT '',
    api_version             text NOT NULL DEFAULT '',
    credential              bytea,
    credential_hint         text NOT NULL DEFAULT '',
    from_environment        boolean NOT NULL DEFAULT false,
    active                  boolean NOT NULL DEFAULT true,
    connect_ms              int NOT NULL DEFAULT 10000 CHECK (connect_ms > 0),
    first_byte_ms           int NOT NULL DEFAULT 300000 CHECK (first_byte_ms > 0),
    idle_ms                 int NOT NULL DEFAULT 120000 CHECK (idle_ms > 0),
    total_ms                int NOT NULL DEFAULT 600000 CHECK (total_ms > 0),
    retries                 int NOT NULL DEFAULT 2 CHECK (retries BETWEEN 0 AND 10),
    hedge_ms                int NOT NULL DEFAULT 0 CHECK (hedge_ms >= 0),
    max_parallel            int NOT NULL DEFAULT 0 CHECK (max_parallel >= 0),
    max_waiting             int NOT NULL DEFAULT 200 CHECK (max_waiting >= 0),
    max_wait_ms             int NOT NULL DEFAULT 10000 CHECK (max_wait_ms > 0),
    breaker_failure_percent int NOT NULL DEFAULT 50 CHECK (breaker_failure_percent BETWEEN 1 AND 100),
    breaker_min_calls       int NOT NULL DEFAULT 20 CHECK (breaker_min_calls > 0),
    breaker_window_ms       int NOT NULL DEFAULT 30000 CHECK (breaker_window_ms > 0),
    breaker_slow_ms         int NOT NULL DEFAULT 60000 CHECK (breaker_slow_ms >= 0),
    breaker_open_ms         int NOT NULL DEFAULT 15000 CHECK (breaker_open_ms > 0),
    created_at              timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT providers_address CHECK (from_environment OR base_url <> '')
);
CREATE UNIQUE INDEX providers_one_from_environment ON providers (from_environment) WHERE from_environment;
INSERT INTO providers (slug, name, kind, from_environment) VALUES ('openai', 'OpenAI', 'openai', true);

-- Which provider answers for a model, and under which name. The lowest priority goes first; within one, weights share.
CREATE TABLE model_routes (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model          text NOT NULL REFERENCES models ON UPDATE CASCADE ON DELETE CASCADE,
    provider_id    bigint NOT NULL REFERENCES providers,
    upstream_model text NOT NULL CHECK (length(upstream_model) BETWEEN 1 AND 200),
    priority       int NOT NULL DEFAULT 1 CHECK (priority BETWEEN 1 AND 100),
    weight         int NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),
    active         boolean NOT NULL DEFAULT true,
    CONSTRAINT model_routes_once UNIQUE (model, provider_id, upstream_model)
);
CREATE INDEX model_routes_provider ON model_routes (provider_id);

-- What a million tokens cost the operator, in US$ micros, from a moment on. A price is never edited: a new one follows.
-- provider_id NULL holds for every provider that has no price of its own for the model.
CREATE TABLE model_prices (
    id                        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model                     text NOT NULL REFERENCES models ON UPDATE CASCADE ON DELETE CASCADE,
    provider_id               bigint REFERENCES providers,
    since                     timestamptz NOT NULL,
    input_price_micros        bigint NOT NULL CHECK (input_price_micros >= 0),
    cached_input_price_micros bigint NOT NULL CHECK (cached_input_price_micros >= 0),
    output_price_micros       bigint NOT NULL CHECK (output_price_micros >= 0),
    reasoning_price_micros    bigint NOT NULL CHECK (reasoning_price_micros >= 0),
    request_price_micros      bigint NOT NULL DEFAULT 0 CHECK (request_price_micros >= 0),
    created_at                timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT model_prices_once UNIQUE NULLS NOT DISTINCT (model, provider_id, since)
);

INSERT INTO models (name, input_price_micros, cached_input_price_micros, output_price_micros, max_output_tokens) VALUES
    ('o3',                       2000000,  500000,  8000000, 100000),
    ('o3-mini',                  1100000,  550000,  4400000, 100000),
    ('gpt-4-turbo',             10000000, 10000000, 30000000,  4096),
    ('gpt-3.5-turbo',             500000,  500000,  1500000,   4096),
    ('gpt-3.5-turbo-instruct',   1500000, 1500000,  2000000,   4096),
    ('text-embedding-3-small',     20000,   20000,        0,      1),
    ('text-embedding-3-large',    130000,  130000,        0,      1),
    ('text-embedding-ada-002',    100000,  100000,        0,      1),
    ('omni-moderation-latest',         0,       0,        0,      1),
    ('gpt-image-1',              5000000, 1250000, 40000000,  65536),
    ('dall-e-3',                       0,       0,        0,      1),
    ('gpt-4o-transcribe',        2500000, 2500000, 10000000,  16384),
    ('gpt-4o-mini-transcribe',   1250000, 1250000,  5000000,  16384),
    ('whisper-1',                      0,       0,        0,      1),
    ('gpt-4o-mini-tts',           600000,  600000, 12000000,  16384),
    ('tts-1',                          0,       0,        0,      1)
ON CONFLICT DO NOTHING;
-- What is in the catalogue has been in force since before any call.
INSERT INTO model_prices (model, since, input_price_micros, cached_input_price_micros, output_price_micros, reasoning_price_micros, request_price_micros)
    SELECT name, '2025-01-01T00:00:00Z', input_price_micros, cached_input_price_micros, output_price_micros, output_price_micros,
        CASE name WHEN 'dall-e-3' THEN 40000 WHEN 'whisper-1' THEN 6000 WHEN 'tts-1' THEN 15000 ELSE 0 END FROM models;
INSERT INTO model_routes (model, provider_id, upstream_model) SELECT m.name, p.id, m.name FROM models m, providers p WHERE p.slug = 'openai';
ALTER TABLE models DROP COLUMN input_price_micros, DROP COLUMN cached_input_price_micros, DROP COLUMN output_price_micros;

-- R$ for one US$, by day; the newest day at or before a moment holds.
CREATE TABLE exchange_rates (
    day         date PRIMARY KEY,
    brl_micros  bigint NOT NULL CHECK (brl_micros > 0),
    source      text NOT NULL DEFAULT '',
    recorded_at timestamptz NOT NULL DEFAULT now()
);

-- What an operator decided about a breaker, until given back. model '' means every model of the provider.
CREATE TABLE breaker_forces (
    provider_id bigint NOT NULL REFERENCES providers ON DELETE CASCADE,
    model       text NOT NULL DEFAULT '',
    state       text NOT NULL CHECK (state IN ('forced_open', 'forced_closed')),
    actor       text NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider_id, model)
);

CREATE TABLE breaker_changes (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at              timestamptz NOT NULL,
    replica         text NOT NULL,
    provider_id     bigint NOT NULL REFERENCES providers ON DELETE CASCADE,
    model           text NOT NULL,
    from_state      text NOT NULL,
    to_state        text NOT NULL,
    reason          text NOT NULL,
    failure_percent int NOT NULL,
    calls           int NOT NULL
);
CREATE INDEX breaker_changes_at ON breaker_changes (at DESC);

-- Replicas keep providers, routes, prices, forced breakers and the cache's settings in memory.
CREATE TRIGGER providers_notify AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON providers
    FOR EACH STATEMENT EXECUTE FUNCTION notify_model_change();
CREATE TRIGGER model_routes_notify AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON model_routes
    FOR EACH STATEMENT EXECUTE FUNCTION notify_model_change();
CREATE TRIGGER model_prices_notify AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON model_prices
    FOR EACH STATEMENT EXECUTE FUNCTION notify_model_change();
CREATE TRIGGER breaker_forces_notify AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON breaker_forces
    FOR EACH STATEMENT EXECUTE FUNCTION notify_model_change();
CREATE TRIGGER settings_notify AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON settings
    FOR EACH STATEMENT EXECUTE FUNCTION notify_model_change();

-- +goose Down
DROP TRIGGER settings_notify ON settings;
DROP TABLE breaker_changes, breaker_forces, exchange_rates;
ALTER TABLE models ADD COLUMN input_price_micros bigint, ADD COLUMN cached_input_price_micros bigint, ADD COLUMN output_price_micros bigint;
UPDATE models m SET input_price_micros = p.input_price_micros, cached_input_price_micros = p.cached_input_price_micros,
    output_price_micros = p.output_price_micros
    FROM (SELECT DISTINCT ON (model) * FROM model_prices WHERE since <= now() ORDER BY model, provider_id IS NOT NULL, since DESC) p WHERE p.model = m.name;
DELETE FROM models WHERE input_price_micros IS NULL;
ALTER TABLE models ALTER COLUMN input_price_micros SET NOT NULL, ALTER COLUMN cached_input_price_micros SET NOT NULL,
    ALTER COLUMN output_price_micros SET NOT NULL, ADD CHECK (input_price_micros >= 0), ADD CHECK (cached_input_price_micros >= 0),
    ADD CHECK (output_price_micros >= 0);
DROP TABLE model_prices, model_routes, providers;
