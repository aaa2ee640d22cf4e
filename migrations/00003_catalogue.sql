-- +goose Up

-- US$ per million tokens as published by OpenAI; the operator edits them later.
INSERT INTO models (name, input_price_micros, cached_input_price_micros, output_price_micros, max_output_tokens, is_default) VALUES
    ('gpt-4.1-nano',            200000,   50000,   800000,  32768, true),
    ('gpt-4.1-nano-2025-04-14', 200000,   50000,   800000,  32768, false),
    ('gpt-4.1-mini',            400000,  100000,  1600000,  32768, false),
    ('gpt-4.1-mini-2025-04-14', 400000,  100000,  1600000,  32768, false),
    ('gpt-4.1',                2000000,  500000,  8000000,  32768, false),
    ('gpt-4.1-2025-04-14',     2000000,  500000,  8000000,  32768, false),
    ('gpt-4o-mini',             150000,   75000,   600000,  16384, false),
    ('gpt-4o',                 2500000, 1250000, 10000000,  16384, false),
    ('gpt-5-nano',               50000,    5000,   400000, 128000, false),
    ('gpt-5-mini',              250000,   25000,  2000000, 128000, false),
    ('gpt-5',                  1250000,  125000, 10000000, 128000, false),
    ('o4-mini',                1100000,  275000,  4400000, 100000, false);

INSERT INTO plans (slug, name, description) VALUES
    ('basico', 'Básico', 'Para começar'),
    ('pro', 'Pro', 'Para equipes em produção'),
    ('enterprise', 'Enterprise', 'Para grandes volumes');
INSERT INTO plan_versions (plan_id, number, price_micros, input_tokens, output_tokens, overage, overage_price_micros, published_at)
    SELECT id, 1, v.price, v.tokens_in, v.tokens_out, 'charge', 100, now()
    FROM plans JOIN (VALUES ('basico', 99900000, 1000000, 500000), ('pro', 199900000, 3000000, 1500000),
        ('enterprise', 399900000, 10000000, 5000000)) AS v (slug, price, tokens_in, tokens_out) USING (slug);

-- +goose Down
ALTER TABLE plan_versions DISABLE TRIGGER plan_versions_immutable;
DELETE FROM plan_versions v USING plans p WHERE p.id = v.plan_id AND p.slug IN ('basico', 'pro', 'enterprise');
ALTER TABLE plan_versions ENABLE TRIGGER plan_versions_immutable;
DELETE FROM plans WHERE slug IN ('basico', 'pro', 'enterprise');
DELETE FROM models;
