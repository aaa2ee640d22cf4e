-- +goose Up

-- Messages that were kept as files while e-mail was not set up: few, among all that ever was sent.
CREATE INDEX delivery_attempts_kept ON delivery_attempts (delivery_id) WHERE starts_with(answer, 'outbox/');

-- +goose Down
DROP INDEX delivery_attempts_kept;
