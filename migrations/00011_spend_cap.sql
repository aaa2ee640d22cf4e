-- +goose Up

-- How much a period may be charged above what its plan includes; NULL: as much as is used.
ALTER TABLE subscriptions ADD COLUMN spend_cap_micros bigint CHECK (spend_cap_micros >= 0);

-- A period that is charged up to a cap is as hard as one that blocks, only later: extra_tokens, of both kinds together, may be used
-- above its limits. extra_taken is what was used or leased above when that was set last: a cap that is lowered under calls grants
-- nothing more, and cannot take back what they hold.
ALTER TABLE quota_buckets
    ADD COLUMN spend_cap_micros bigint CHECK (spend_cap_micros >= 0),
    ADD COLUMN extra_tokens bigint NOT NULL DEFAULT 0 CHECK (extra_tokens >= 0),
    ADD COLUMN extra_taken bigint NOT NULL DEFAULT 0 CHECK (extra_taken >= 0),
    DROP CONSTRAINT quota_buckets_within_limit_in,
    DROP CONSTRAINT quota_buckets_within_limit_out,
    ADD CONSTRAINT quota_buckets_within_limit CHECK (NOT hard OR
        greatest(used_in - overrun_in + leased_in - limit_in, 0) + greatest(used_out - overrun_out + leased_out - limit_out, 0)
        <= greatest(extra_tokens, extra_taken));

-- A lease writes these columns as they are, and changes no limit.
DROP TRIGGER quota_buckets_limits ON quota_buckets;
CREATE TRIGGER quota_buckets_limits BEFORE UPDATE OF hard, limit_in, limit_out, spend_cap_micros ON quota_buckets
    FOR EACH ROW WHEN (OLD.hard <> NEW.hard OR OLD.limit_in <> NEW.limit_in OR OLD.limit_out <> NEW.limit_out
        OR OLD.spend_cap_micros IS DISTINCT FROM NEW.spend_cap_micros)
    EXECUTE FUNCTION quota_bucket_limits_changed();

-- +goose Down
DROP TRIGGER quota_buckets_limits ON quota_buckets;
CREATE TRIGGER quota_buckets_limits BEFORE UPDATE OF hard, limit_in, limit_out ON quota_buckets
    FOR EACH ROW EXECUTE FUNCTION quota_bucket_limits_changed();
-- Without caps these periods are charged without an end.
UPDATE quota_buckets SET hard = false WHERE spend_cap_micros IS NOT NULL;
ALTER TABLE quota_buckets
    DROP CONSTRAINT quota_buckets_within_limit,
    ADD CONSTRAINT quota_buckets_within_limit_in CHECK (NOT hard OR used_in - overrun_in + leased_in <= limit_in),
    ADD CONSTRAINT quota_buckets_within_limit_out CHECK (NOT hard OR used_out - overrun_out + leased_out <= limit_out),
    DROP COLUMN spend_cap_micros,
    DROP COLUMN extra_tokens,
    DROP COLUMN extra_taken;
ALTER TABLE subscriptions DROP COLUMN spend_cap_micros;
