-- Names of tenants as they are searched and sorted: core.Fold of the name. Those of
-- tenants that are there already are written at the start.

-- +goose Up
ALTER TABLE tenants ADD COLUMN name_fold TEXT NOT NULL DEFAULT '' COLLATE BINARY;

-- +goose Down
ALTER TABLE tenants DROP COLUMN name_fold;
