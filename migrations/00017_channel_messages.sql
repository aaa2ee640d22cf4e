-- +goose Up

-- What went through a channel of late, which its page shows and its list judges.
CREATE INDEX deliveries_channel ON deliveries (channel_id, id DESC) WHERE channel_id IS NOT NULL;

-- +goose Down
DROP INDEX deliveries_channel;
