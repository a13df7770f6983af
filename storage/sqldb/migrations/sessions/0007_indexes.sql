-- What the sweep of ended sessions looks for.

-- +goose Up
CREATE INDEX sessions_ended ON sessions (ended) WHERE ended <> 0;

-- +goose Down
DROP INDEX sessions_ended;
