-- +goose Up

-- What comes and goes is told of once while it lasts, whoever watches and whatever a clock says.
CREATE UNIQUE INDEX alert_events_one_open ON alert_events (rule_id, subject, metric, threshold)
    WHERE resolved_at IS NULL AND metric IN ('sudden_change', 'error_rate', 'latency_p95', 'breaker_open', 'provider_429', 'queue_age', 'spool_lag');

-- How the breakers of each replica's providers stand: what breaker_changes come to. since is when it began not to let all
-- calls through, or to do so again.
CREATE TABLE breaker_states (
    replica     text NOT NULL,
    provider_id bigint NOT NULL REFERENCES providers ON DELETE CASCADE,
    model       text NOT NULL,
    state       text NOT NULL,
    since       timestamptz NOT NULL,
    PRIMARY KEY (replica, provider_id, model)
);
-- +goose StatementBegin
CREATE FUNCTION breaker_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO breaker_states AS s (replica, provider_id, model, state, since) VALUES (NEW.replica, NEW.provider_id, NEW.model, NEW.to_state, NEW.at)
        ON CONFLICT (replica, provider_id, model) DO UPDATE SET state = excluded.state,
            since = CASE WHEN NEW.from_state IN ('open', 'half_open') AND NEW.to_state IN ('open', 'half_open') THEN s.since ELSE excluded.since END;
    RETURN NULL;
END $$;
-- +goose StatementEnd
INSERT INTO breaker_states (replica, provider_id, model, state, since)
    SELECT DISTINCT ON (replica, provider_id, model) replica, provider_id, model, to_state, at FROM breaker_changes ORDER BY replica, provider_id, model, at DESC, id DESC;
CREATE TRIGGER breaker_changes_state AFTER INSERT ON breaker_changes FOR EACH ROW EXECUTE FUNCTION breaker_changed();

-- From where keys are used; of IPv6 the network of 64 bits. It tells something about people, and is forgotten after six months
-- without use.
CREATE TABLE key_addresses (
    key_id     bigint NOT NULL,
    address    inet NOT NULL,
    tenant_id  bigint NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL,
    PRIMARY KEY (key_id, address),
    CONSTRAINT key_addresses_key FOREIGN KEY (key_id, tenant_id) REFERENCES api_keys (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX key_addresses_first ON key_addresses (first_seen);
CREATE INDEX key_addresses_last ON key_addresses (last_seen);
ALTER TABLE key_addresses ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON key_addresses TO filaia_tenant USING (tenant_id = current_tenant());
GRANT SELECT ON key_addresses TO filaia_tenant;

-- How often providers said 429, those among them that no caller saw.
CREATE TABLE provider_throttles (
    minute      timestamptz NOT NULL,
    provider_id bigint NOT NULL REFERENCES providers ON DELETE CASCADE,
    count       bigint NOT NULL CHECK (count > 0),
    PRIMARY KEY (minute, provider_id)
);

-- +goose Down
DROP TABLE provider_throttles, key_addresses;
DROP TRIGGER breaker_changes_state ON breaker_changes;
DROP FUNCTION breaker_changed();
DROP TABLE breaker_states;
DROP INDEX alert_events_one_open;
