-- Most events are about no object: they are not in the index of objects.

-- +goose Up
DROP INDEX events_model;
CREATE INDEX events_model ON events (model_pk, at DESC, id) WHERE model_pk <> '';

-- +goose Down
DROP INDEX events_model;
CREATE INDEX events_model ON events (model_pk, at DESC, id);
