-- The directory of one tenant: who exists, what is guarded, what was granted.
--
-- One text for SQLite and PostgreSQL. Times are microseconds since 1970 (0:
-- never), lists and objects are JSON text, ids are UUIDv7 text. A column that
-- ends in _fold holds core.Fold of its neighbour. COLLATE BINARY becomes
-- COLLATE "C" on PostgreSQL, so that both sort by bytes.

-- +goose Up
CREATE TABLE meta (
	name TEXT NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
);

-- Integer ids come from here: they grow, and none is given twice. A row is
-- also a lock: whoever updates it holds it until the end of the transaction.
CREATE TABLE counters (
	name TEXT NOT NULL PRIMARY KEY,
	value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES
	('user', 0), ('group', 0), ('provider', 0), ('domain', 0), ('outbox', 0), ('group_tree', 0), ('seed', 0);

-- The registry of tenants; only that of the default tenant is used.
CREATE TABLE tenants (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	uuid TEXT NOT NULL UNIQUE,
	name TEXT NOT NULL,
	ready BOOLEAN NOT NULL,
	brand TEXT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);

CREATE TABLE domains (
	id BIGINT NOT NULL PRIMARY KEY,
	domain TEXT NOT NULL UNIQUE COLLATE BINARY,
	is_primary BOOLEAN NOT NULL,
	tenant_id TEXT NOT NULL COLLATE BINARY REFERENCES tenants (id) ON DELETE CASCADE
);

CREATE TABLE users (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	pk BIGINT NOT NULL UNIQUE,
	username TEXT NOT NULL,
	username_fold TEXT NOT NULL UNIQUE COLLATE BINARY,
	name TEXT NOT NULL,
	name_fold TEXT NOT NULL COLLATE BINARY,
	email TEXT NOT NULL,
	email_fold TEXT NOT NULL COLLATE BINARY,
	email_verified BOOLEAN NOT NULL,
	active BOOLEAN NOT NULL,
	type TEXT NOT NULL COLLATE BINARY,
	path TEXT NOT NULL COLLATE BINARY,
	path_fold TEXT NOT NULL COLLATE BINARY,
	attributes TEXT NOT NULL,
	password_hash TEXT NOT NULL,
	password_changed BIGINT NOT NULL,
	last_login BIGINT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);
CREATE INDEX users_email ON users (email_fold);
CREATE INDEX users_name ON users (name_fold);

-- One row for each top-level key of attributes: the SHA-256 of key and value.
CREATE TABLE user_attributes (
	user_id TEXT NOT NULL COLLATE BINARY REFERENCES users (id) ON DELETE CASCADE,
	pair TEXT NOT NULL COLLATE BINARY,
	PRIMARY KEY (user_id, pair)
);
CREATE INDEX user_attributes_pair ON user_attributes (pair);

CREATE TABLE groups (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	pk BIGINT NOT NULL UNIQUE,
	name TEXT NOT NULL UNIQUE COLLATE BINARY,
	name_fold TEXT NOT NULL COLLATE BINARY,
	superuser BOOLEAN NOT NULL,
	attributes TEXT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);
CREATE INDEX groups_name ON groups (name_fold);

CREATE TABLE group_attributes (
	group_id TEXT NOT NULL COLLATE BINARY REFERENCES groups (id) ON DELETE CASCADE,
	pair TEXT NOT NULL COLLATE BINARY,
	PRIMARY KEY (group_id, pair)
);
CREATE INDEX group_attributes_pair ON group_attributes (pair);

CREATE TABLE group_parents (
	group_id TEXT NOT NULL COLLATE BINARY REFERENCES groups (id) ON DELETE CASCADE,
	parent_id TEXT NOT NULL COLLATE BINARY REFERENCES groups (id) ON DELETE CASCADE,
	PRIMARY KEY (group_id, parent_id)
);
CREATE INDEX group_parents_parent ON group_parents (parent_id);

CREATE TABLE memberships (
	user_id TEXT NOT NULL COLLATE BINARY REFERENCES users (id) ON DELETE CASCADE,
	group_id TEXT NOT NULL COLLATE BINARY REFERENCES groups (id) ON DELETE CASCADE,
	PRIMARY KEY (user_id, group_id)
);
CREATE INDEX memberships_group ON memberships (group_id);

CREATE TABLE key_pairs (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	name TEXT NOT NULL UNIQUE COLLATE BINARY,
	name_fold TEXT NOT NULL COLLATE BINARY,
	managed TEXT UNIQUE COLLATE BINARY,
	certificate TEXT NOT NULL,
	private_key BYTEA, -- sealed; NULL: only the certificate is known
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);

CREATE TABLE mappings (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	kind TEXT NOT NULL COLLATE BINARY,
	managed TEXT UNIQUE COLLATE BINARY,
	name TEXT NOT NULL COLLATE BINARY,
	name_fold TEXT NOT NULL COLLATE BINARY,
	expression TEXT NOT NULL,
	scope_name TEXT NOT NULL COLLATE BINARY,
	description TEXT NOT NULL,
	saml_name TEXT NOT NULL COLLATE BINARY,
	friendly_name TEXT NOT NULL COLLATE BINARY,
	claims TEXT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL,
	UNIQUE (kind, name)
);

CREATE TABLE providers (
	id BIGINT NOT NULL PRIMARY KEY,
	kind TEXT NOT NULL COLLATE BINARY,
	name TEXT NOT NULL UNIQUE COLLATE BINARY,
	name_fold TEXT NOT NULL COLLATE BINARY,
	client_id TEXT UNIQUE COLLATE BINARY,
	authentication_flow TEXT NOT NULL,
	authorization_flow TEXT NOT NULL,
	invalidation_flow TEXT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);

CREATE TABLE provider_mappings (
	provider_id BIGINT NOT NULL REFERENCES providers (id) ON DELETE CASCADE,
	mapping_id TEXT NOT NULL COLLATE BINARY REFERENCES mappings (id) ON DELETE CASCADE,
	position BIGINT NOT NULL,
	PRIMARY KEY (provider_id, mapping_id)
);
CREATE INDEX provider_mappings_mapping ON provider_mappings (mapping_id);

CREATE TABLE oauth2_clients (
	provider_id BIGINT NOT NULL PRIMARY KEY REFERENCES providers (id) ON DELETE CASCADE,
	client_type TEXT NOT NULL COLLATE BINARY,
	secret BYTEA NOT NULL, -- sealed
	redirect_uris TEXT NOT NULL,
	code_validity TEXT NOT NULL,
	access_validity TEXT NOT NULL,
	refresh_validity TEXT NOT NULL,
	refresh_threshold TEXT NOT NULL,
	sub_mode TEXT NOT NULL COLLATE BINARY,
	issuer_mode TEXT NOT NULL COLLATE BINARY,
	include_claims BOOLEAN NOT NULL,
	signing_key TEXT COLLATE BINARY REFERENCES key_pairs (id),
	encryption_key TEXT COLLATE BINARY REFERENCES key_pairs (id),
	logout_uri TEXT NOT NULL,
	logout_method TEXT NOT NULL COLLATE BINARY,
	federation_sources TEXT NOT NULL,
	federation_providers TEXT NOT NULL
);
CREATE INDEX oauth2_clients_signing_key ON oauth2_clients (signing_key);
CREATE INDEX oauth2_clients_encryption_key ON oauth2_clients (encryption_key);

CREATE TABLE proxy_providers (
	provider_id BIGINT NOT NULL PRIMARY KEY REFERENCES providers (id) ON DELETE CASCADE,
	mode TEXT NOT NULL COLLATE BINARY,
	external_host TEXT NOT NULL COLLATE BINARY,
	internal_host TEXT NOT NULL COLLATE BINARY,
	cookie_domain TEXT NOT NULL COLLATE BINARY,
	skip_path TEXT NOT NULL COLLATE BINARY,
	internal_tls_verify BOOLEAN NOT NULL,
	certificate TEXT COLLATE BINARY REFERENCES key_pairs (id),
	basic_auth BOOLEAN NOT NULL,
	basic_auth_user TEXT NOT NULL COLLATE BINARY,
	basic_auth_password TEXT NOT NULL COLLATE BINARY,
	intercept_header_auth BOOLEAN NOT NULL,
	access_validity TEXT NOT NULL,
	refresh_validity TEXT NOT NULL,
	federation_sources TEXT NOT NULL,
	federation_providers TEXT NOT NULL
);
CREATE INDEX proxy_providers_certificate ON proxy_providers (certificate);

CREATE TABLE applications (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	slug TEXT NOT NULL UNIQUE COLLATE BINARY,
	name TEXT NOT NULL COLLATE BINARY,
	name_fold TEXT NOT NULL COLLATE BINARY,
	heading TEXT NOT NULL COLLATE BINARY,
	heading_fold TEXT NOT NULL COLLATE BINARY,
	search_fold TEXT NOT NULL COLLATE BINARY,
	provider_id BIGINT UNIQUE REFERENCES providers (id) ON DELETE SET NULL,
	launch_url TEXT NOT NULL,
	icon TEXT NOT NULL,
	description TEXT NOT NULL,
	publisher TEXT NOT NULL,
	open_in_new_tab BOOLEAN NOT NULL,
	policy_mode TEXT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);

CREATE TABLE application_backchannel (
	application_id TEXT NOT NULL COLLATE BINARY REFERENCES applications (id) ON DELETE CASCADE,
	provider_id BIGINT NOT NULL REFERENCES providers (id) ON DELETE CASCADE,
	PRIMARY KEY (application_id, provider_id)
);
CREATE INDEX application_backchannel_provider ON application_backchannel (provider_id);

CREATE TABLE tokens (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	identifier TEXT NOT NULL UNIQUE COLLATE BINARY,
	identifier_fold TEXT NOT NULL COLLATE BINARY,
	intent TEXT NOT NULL COLLATE BINARY,
	user_id TEXT NOT NULL COLLATE BINARY REFERENCES users (id) ON DELETE CASCADE,
	managed TEXT UNIQUE COLLATE BINARY,
	description TEXT NOT NULL COLLATE BINARY,
	search_fold TEXT NOT NULL COLLATE BINARY, -- all that a search looks at, a line each
	expiring BOOLEAN NOT NULL,
	expires BIGINT NOT NULL,
	key_hash BYTEA NOT NULL UNIQUE,
	key_sealed BYTEA NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);
CREATE INDEX tokens_user ON tokens (user_id);

CREATE TABLE links (
	hash BYTEA NOT NULL PRIMARY KEY,
	purpose TEXT NOT NULL COLLATE BINARY,
	user_id TEXT NOT NULL COLLATE BINARY REFERENCES users (id) ON DELETE CASCADE,
	expires BIGINT NOT NULL,
	used BIGINT NOT NULL
);
CREATE INDEX links_user ON links (user_id);
CREATE INDEX links_expires ON links (expires);

CREATE TABLE consents (
	user_id TEXT NOT NULL COLLATE BINARY REFERENCES users (id) ON DELETE CASCADE,
	client_id TEXT NOT NULL COLLATE BINARY,
	scopes TEXT NOT NULL,
	expires BIGINT NOT NULL,
	PRIMARY KEY (user_id, client_id)
);
CREATE INDEX consents_client ON consents (client_id);
CREATE INDEX consents_expires ON consents (expires);

CREATE TABLE grants (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	client_id TEXT NOT NULL COLLATE BINARY,
	provider_id BIGINT REFERENCES providers (id) ON DELETE CASCADE, -- NULL: of an application that the Caddyfile declares
	user_id TEXT NOT NULL COLLATE BINARY REFERENCES users (id) ON DELETE CASCADE,
	session_id TEXT NOT NULL COLLATE BINARY,
	scopes TEXT NOT NULL,
	nonce TEXT NOT NULL,
	auth_time BIGINT NOT NULL,
	amr TEXT NOT NULL,
	acr TEXT NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX grants_provider ON grants (provider_id);
CREATE INDEX grants_user ON grants (user_id);
CREATE INDEX grants_session ON grants (session_id);
CREATE INDEX grants_expires ON grants (expires);

CREATE TABLE codes (
	hash BYTEA NOT NULL PRIMARY KEY,
	grant_id TEXT NOT NULL COLLATE BINARY REFERENCES grants (id) ON DELETE CASCADE,
	client_id TEXT NOT NULL,
	redirect_uri TEXT NOT NULL,
	challenge TEXT NOT NULL,
	method TEXT NOT NULL,
	expires BIGINT NOT NULL,
	used BIGINT NOT NULL
);
CREATE INDEX codes_grant ON codes (grant_id);
CREATE INDEX codes_expires ON codes (expires);

CREATE TABLE refresh_tokens (
	hash BYTEA NOT NULL PRIMARY KEY,
	grant_id TEXT NOT NULL COLLATE BINARY REFERENCES grants (id) ON DELETE CASCADE,
	issued BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	used BIGINT NOT NULL,
	answer BYTEA -- sealed by the issuer: what was answered when it was used
);
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_expires ON refresh_tokens (expires);

CREATE TABLE events (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	at BIGINT NOT NULL,
	action TEXT NOT NULL COLLATE BINARY,
	user_id TEXT NOT NULL COLLATE BINARY,
	username TEXT NOT NULL,
	application_id TEXT NOT NULL,
	address TEXT NOT NULL,
	message TEXT NOT NULL,
	context TEXT NOT NULL
);
CREATE INDEX events_at ON events (at);

-- Every change of the directory, written in its own transaction. seq comes
-- from the counter's row, which is held until commit: whoever has read up to
-- one seq misses none that is smaller.
CREATE TABLE outbox (
	seq BIGINT NOT NULL PRIMARY KEY,
	kind TEXT NOT NULL COLLATE BINARY,
	object_id TEXT NOT NULL COLLATE BINARY,
	op TEXT NOT NULL,
	at BIGINT NOT NULL
);
CREATE INDEX outbox_at ON outbox (at);

-- +goose Down
DROP TABLE outbox;
DROP TABLE events;
DROP TABLE refresh_tokens;
DROP TABLE codes;
DROP TABLE grants;
DROP TABLE consents;
DROP TABLE links;
DROP TABLE tokens;
DROP TABLE application_backchannel;
DROP TABLE applications;
DROP TABLE proxy_providers;
DROP TABLE oauth2_clients;
DROP TABLE provider_mappings;
DROP TABLE providers;
DROP TABLE mappings;
DROP TABLE key_pairs;
DROP TABLE memberships;
DROP TABLE group_parents;
DROP TABLE group_attributes;
DROP TABLE groups;
DROP TABLE user_attributes;
DROP TABLE users;
DROP TABLE domains;
DROP TABLE tenants;
DROP TABLE counters;
DROP TABLE meta;
