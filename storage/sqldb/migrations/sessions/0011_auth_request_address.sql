-- Whose authorization requests wait, so that no one address takes all the room.

-- +goose Up
ALTER TABLE auth_requests ADD COLUMN address TEXT NOT NULL DEFAULT '' COLLATE BINARY;
CREATE INDEX auth_requests_address ON auth_requests (address, expires);

-- +goose Down
DROP INDEX auth_requests_address;
ALTER TABLE auth_requests DROP COLUMN address;
