-- +goose Up

-- What an inbox counts, and a customer's deliveries: its role can't look into event_ids before it is held to its own.
CREATE INDEX alert_events_unseen ON alert_events (audience, tenant_id, id) WHERE lead AND acknowledged_at IS NULL AND resolved_at IS NULL;
CREATE INDEX deliveries_tenant ON deliveries (tenant_id, id DESC) WHERE audience = 'customer';

-- Open pages show how messages go. Whoever sends them has a channel of its own and is not woken by this.
-- +goose StatementBegin
CREATE FUNCTION notify_inbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('filaia_inbox', '');
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER deliveries_notify AFTER INSERT OR UPDATE ON deliveries FOR EACH STATEMENT EXECUTE FUNCTION notify_inbox();
CREATE TRIGGER alert_snoozes_notify AFTER INSERT OR UPDATE OR DELETE ON alert_snoozes FOR EACH STATEMENT EXECUTE FUNCTION notify_inbox();
CREATE TRIGGER alert_seen_notify AFTER INSERT OR UPDATE ON alert_seen FOR EACH STATEMENT EXECUTE FUNCTION notify_inbox();

-- +goose Down
DROP TRIGGER alert_seen_notify ON alert_seen;
DROP TRIGGER alert_snoozes_notify ON alert_snoozes;
DROP TRIGGER deliveries_notify ON deliveries;
DROP FUNCTION notify_inbox();
DROP INDEX deliveries_tenant;
DROP INDEX alert_events_unseen;
