-- Who may open an application, and what they may do in it.

-- +goose Up
CREATE TABLE policies (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	name TEXT NOT NULL UNIQUE COLLATE BINARY,
	name_fold TEXT NOT NULL COLLATE BINARY,
	expression TEXT NOT NULL,
	logging BOOLEAN NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);

CREATE TABLE entitlements (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	application_id TEXT NOT NULL COLLATE BINARY REFERENCES applications (id) ON DELETE CASCADE,
	name TEXT NOT NULL COLLATE BINARY,
	name_fold TEXT NOT NULL COLLATE BINARY,
	attributes TEXT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL,
	UNIQUE (application_id, name)
);

-- The target is an application or an entitlement, and ends the binding with it. What is bound is no
-- reference: a binding outlives it and denies, so that a deleted group opens nothing.
CREATE TABLE bindings (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	application_id TEXT COLLATE BINARY REFERENCES applications (id) ON DELETE CASCADE,
	entitlement_id TEXT COLLATE BINARY REFERENCES entitlements (id) ON DELETE CASCADE,
	policy_id TEXT COLLATE BINARY,
	group_id TEXT COLLATE BINARY,
	user_id TEXT COLLATE BINARY,
	negate BOOLEAN NOT NULL,
	enabled BOOLEAN NOT NULL,
	position BIGINT NOT NULL,
	timeout BIGINT NOT NULL, -- seconds
	failure_result BOOLEAN NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);
CREATE INDEX bindings_application ON bindings (application_id);
CREATE INDEX bindings_entitlement ON bindings (entitlement_id);
CREATE INDEX bindings_policy ON bindings (policy_id);

-- A decision is found by its ID, which is the message of its event.
CREATE INDEX events_decision ON events (message) WHERE action = 'policy_denied';

-- +goose Down
DROP INDEX events_decision;
DROP TABLE bindings;
DROP TABLE entitlements;
DROP TABLE policies;
