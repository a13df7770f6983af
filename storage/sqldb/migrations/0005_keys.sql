-- Keys that replace one another, and those that were revoked.

-- +goose Up
ALTER TABLE key_pairs ADD COLUMN generated BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE key_pairs ADD COLUMN signs_from BIGINT NOT NULL DEFAULT 0;
-- Microseconds: the longest validity of a token that may have been signed.
ALTER TABLE key_pairs ADD COLUMN token_life BIGINT NOT NULL DEFAULT 0;
-- Which end of a certificate was warned of last.
ALTER TABLE key_pairs ADD COLUMN warned BIGINT NOT NULL DEFAULT 0;

-- What a key pair was before, or what a provider signed with before it was given
-- another key pair: one of the two is set.
CREATE TABLE former_keys (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	key_pair_id TEXT COLLATE BINARY REFERENCES key_pairs (id) ON DELETE CASCADE,
	provider_id BIGINT REFERENCES providers (id) ON DELETE CASCADE,
	left_pair TEXT COLLATE BINARY, -- of a provider: which key pair it was; that may be gone
	certificate TEXT NOT NULL,
	private_key BYTEA, -- sealed; NULL: it signs no more
	signs_until BIGINT NOT NULL,
	verifies_until BIGINT NOT NULL
);
CREATE INDEX former_keys_key_pair ON former_keys (key_pair_id);
CREATE INDEX former_keys_provider ON former_keys (provider_id);

CREATE TABLE revoked_keys (
	kid TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE revoked_keys;
DROP TABLE former_keys;
ALTER TABLE key_pairs DROP COLUMN warned;
ALTER TABLE key_pairs DROP COLUMN token_life;
ALTER TABLE key_pairs DROP COLUMN signs_from;
ALTER TABLE key_pairs DROP COLUMN generated;
