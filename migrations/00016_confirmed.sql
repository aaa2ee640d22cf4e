-- +goose Up

-- Addresses from outside that a customer's own rules name, whether they agreed to be told of that customer. The nonce stands in the
-- link of their e-mail, which only the installation's key can sign: who reads this table can make no link.
CREATE TABLE alert_addresses (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    bigint NOT NULL REFERENCES tenants,
    address      text NOT NULL,                              -- in small letters, its domain in ASCII
    nonce        uuid NOT NULL DEFAULT gen_random_uuid(),    -- another one for each round of asking
    asked_by     text NOT NULL DEFAULT '',                   -- the customer's own person; '': one of the team
    asked_at     timestamptz NOT NULL,                       -- since when it has been waited for
    expires_at   timestamptz NOT NULL,                       -- of the link
    mailed       timestamptz[] NOT NULL DEFAULT '{}',        -- when it was written to in the last day, the newest last
    confirmed_at timestamptz,
    declined_at  timestamptz,                                -- it may not be asked again
    CONSTRAINT alert_addresses_once UNIQUE (tenant_id, address),
    CHECK (num_nonnulls(confirmed_at, declined_at) < 2)
);
ALTER TABLE alert_addresses ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON alert_addresses TO filaia_tenant USING (tenant_id = current_tenant());
GRANT SELECT (id, tenant_id, address, asked_by, asked_at, expires_at, mailed, confirmed_at, declined_at) ON alert_addresses TO filaia_tenant;

-- Who is named by now has been told before anybody asked: they stay told, and have the link at the end of each e-mail.
INSERT INTO alert_addresses (tenant_id, address, asked_at, expires_at, confirmed_at)
    SELECT DISTINCT r.tenant_id, lower(a), now(), now(), now() FROM alert_rules r, unnest(r.addresses || r.escalate_to) AS a
    WHERE r.audience = 'customer' AND r.scope IN ('tenant', 'key') AND a <> '';

-- A message that asks for it tells of no alert. What was not sent to an address, because it has not agreed, is kept with the reason.
ALTER TABLE deliveries
    ADD COLUMN reason text NOT NULL DEFAULT '' CHECK (reason IN ('', 'unconfirmed', 'declined')),
    DROP CONSTRAINT deliveries_kind_check,
    DROP CONSTRAINT deliveries_event_ids_check,
    ADD CONSTRAINT deliveries_kind_check CHECK (kind IN ('alert', 'digest', 'escalation', 'confirmation')),
    ADD CONSTRAINT deliveries_event_ids_check CHECK ((cardinality(event_ids) > 0) <> (kind = 'confirmation'));
CREATE INDEX deliveries_confirmation ON deliveries (tenant_id, recipient, id DESC) WHERE kind = 'confirmation';

-- +goose Down
DROP INDEX deliveries_confirmation;
DELETE FROM deliveries WHERE kind = 'confirmation' OR reason <> '';
ALTER TABLE deliveries
    DROP COLUMN reason,
    DROP CONSTRAINT deliveries_kind_check,
    DROP CONSTRAINT deliveries_event_ids_check,
    ADD CONSTRAINT deliveries_kind_check CHECK (kind IN ('alert', 'digest', 'escalation')),
    ADD CONSTRAINT deliveries_event_ids_check CHECK (cardinality(event_ids) > 0);
DROP TABLE alert_addresses;
