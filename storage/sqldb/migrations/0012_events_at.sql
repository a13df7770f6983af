-- An index of the log that another one, events_newest, holds as well: each event was written into both.

-- +goose Up
DROP INDEX events_at;

-- +goose Down
CREATE INDEX events_at ON events (at);
