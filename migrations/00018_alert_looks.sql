-- +goose Up

-- version: of the rules for everybody, or for a plan, about what commits raise. A customer's own rule has only that customer's open periods
-- looked at again, or that key's. watched: of all others, for whoever watches. Where nothing changes by which anything is raised, nothing is
-- looked at again. All of it happens as the transaction ends: who changes several rules would hold the version for as long as that takes,
-- and those who do so in another order would wait in a circle.
ALTER TABLE alert_version ADD COLUMN watched bigint NOT NULL DEFAULT 1;
DROP TRIGGER alert_rules_changed ON alert_rules;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION alert_rules_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    rule          alert_rules;
    for_all       boolean := false;
    for_who_looks boolean := false;
    subs          bigint[];
    periods       bigint[];
BEGIN
    FOREACH rule IN ARRAY ARRAY[OLD, NEW]::alert_rules[] LOOP
        CONTINUE WHEN rule.id IS NULL;
        IF rule.metric NOT IN ('input_quota', 'output_quota', 'overage', 'spend_cap') THEN
            for_who_looks := true;
        ELSIF TG_OP = 'UPDATE' AND (OLD.audience, OLD.scope, OLD.plan_id, OLD.tenant_id, OLD.key_id, OLD.metric, OLD.unit, OLD.thresholds, OLD.enabled, OLD.deleted_at)
            IS NOT DISTINCT FROM (NEW.audience, NEW.scope, NEW.plan_id, NEW.tenant_id, NEW.key_id, NEW.metric, NEW.unit, NEW.thresholds, NEW.enabled, NEW.deleted_at) THEN
            RETURN NULL;
        ELSIF rule.scope IN ('all', 'plan') THEN
            for_all := true;
        ELSE
            -- In the order in which commits take buckets. Arrays have the indexes used, whatever is known of how many there are.
            subs := ARRAY(
                SELECT id FROM subscriptions WHERE rule.scope = 'tenant' AND tenant_id = rule.tenant_id AND scope = 'tenant' AND ended_at IS NULL
                UNION ALL SELECT subscription_id FROM api_keys WHERE rule.scope = 'tenant' AND tenant_id = rule.tenant_id
                UNION ALL SELECT subscription_id FROM api_keys WHERE id = rule.key_id);
            periods := ARRAY(SELECT id FROM billing_periods WHERE subscription_id = ANY (subs) AND ends_at > now());
            -- Who is looking right now goes by the rules of before: it is waited for, and only then judged what is to be looked at again.
            PERFORM FROM quota_buckets WHERE period_id = ANY (periods) ORDER BY period_id FOR UPDATE;
            UPDATE quota_buckets SET alert_version = 0 WHERE period_id = ANY (periods) AND alert_version <> 0;
        END IF;
    END LOOP;
    IF for_all OR for_who_looks THEN
        UPDATE alert_version SET version = version + for_all::int, watched = watched + for_who_looks::int;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE CONSTRAINT TRIGGER alert_rules_changed AFTER INSERT OR UPDATE OR DELETE ON alert_rules DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION alert_rules_changed();

-- What leads is the highest that goes on, and once all is over the highest of all.
UPDATE alert_events e SET lead = n.leads FROM (
    SELECT id, row_number() OVER (PARTITION BY group_id, audience, metric ORDER BY resolved_at IS NULL DESC, threshold DESC, lead DESC, id) = 1 AS leads
    FROM alert_events WHERE group_id IN (SELECT group_id FROM alert_events WHERE lead AND resolved_at IS NOT NULL
        INTERSECT SELECT group_id FROM alert_events WHERE NOT lead AND resolved_at IS NULL)) AS n
WHERE n.id = e.id AND n.leads <> e.lead;

-- +goose Down
UPDATE alert_events e SET lead = n.leads FROM (
    SELECT id, row_number() OVER (PARTITION BY group_id, audience, metric ORDER BY threshold DESC, lead DESC, id) = 1 AS leads
    FROM alert_events WHERE group_id IN (SELECT group_id FROM alert_events WHERE NOT lead AND resolved_at IS NOT NULL
        INTERSECT SELECT group_id FROM alert_events WHERE lead AND resolved_at IS NULL)) AS n
WHERE n.id = e.id AND n.leads <> e.lead;
DROP TRIGGER alert_rules_changed ON alert_rules;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION alert_rules_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE alert_version SET version = version + 1;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER alert_rules_changed AFTER INSERT OR UPDATE OR DELETE ON alert_rules FOR EACH STATEMENT EXECUTE FUNCTION alert_rules_changed();
ALTER TABLE alert_version DROP COLUMN watched;
UPDATE alert_version SET version = version + 1; -- who watches goes by it again
