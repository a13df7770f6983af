-- What Caddy keeps: certificates and their private keys, OCSP staples, ACME accounts. Only the
-- default tenant's tables have rows.

-- +goose Up
CREATE TABLE caddy_files (
	path TEXT NOT NULL PRIMARY KEY COLLATE BINARY, -- parts divided by "/", none at the ends
	value BYTEA NOT NULL, -- sealed
	size BIGINT NOT NULL, -- of what is sealed, in bytes
	modified BIGINT NOT NULL
);

-- +goose Down
DROP TABLE caddy_files;
