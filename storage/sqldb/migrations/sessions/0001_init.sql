-- What changes with every request and login: sessions, failed attempts,
-- requests under way. On SQLite a file of its own, so that these writes do not
-- wait for the directory's; on PostgreSQL tables beside it.

-- +goose Up
CREATE TABLE sessions (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	key_hash BYTEA NOT NULL UNIQUE,
	user_id TEXT NOT NULL COLLATE BINARY,
	auth_time BIGINT NOT NULL,
	factors TEXT NOT NULL,
	acr TEXT NOT NULL,
	parent_id TEXT NOT NULL COLLATE BINARY, -- '': a login itself
	application_id TEXT NOT NULL,
	address TEXT NOT NULL,
	user_agent TEXT NOT NULL,
	created BIGINT NOT NULL,
	last_seen BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	idle BIGINT NOT NULL, -- microseconds
	ended BIGINT NOT NULL -- 0: lives; an ended row stays a while, so that no late write revives it
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_parent ON sessions (parent_id);
CREATE INDEX sessions_expires ON sessions (expires);

CREATE TABLE attempts (
	name TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	failures BIGINT NOT NULL,
	newest BIGINT NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX attempts_expires ON attempts (expires);

CREATE TABLE auth_requests (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	data BYTEA NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX auth_requests_expires ON auth_requests (expires);

-- +goose Down
DROP TABLE auth_requests;
DROP TABLE attempts;
DROP TABLE sessions;
