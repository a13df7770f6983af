-- Who does what no other node may do meanwhile. Only the default tenant's tables have rows.

-- +goose Up
CREATE TABLE caddy_locks (
	name TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	owner TEXT NOT NULL COLLATE BINARY,
	expires BIGINT NOT NULL -- by the database's clock
);

-- +goose Down
DROP TABLE caddy_locks;
