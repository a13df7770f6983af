-- Roles, and what the list of events is searched and ordered by.

-- +goose Up
CREATE TABLE roles (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	name TEXT NOT NULL UNIQUE COLLATE BINARY,
	name_fold TEXT NOT NULL COLLATE BINARY,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);

CREATE TABLE role_permissions (
	pk BIGINT NOT NULL PRIMARY KEY,
	role_id TEXT NOT NULL COLLATE BINARY REFERENCES roles (id) ON DELETE CASCADE,
	permission TEXT NOT NULL COLLATE BINARY,
	UNIQUE (role_id, permission)
);

CREATE TABLE group_roles (
	group_id TEXT NOT NULL COLLATE BINARY REFERENCES groups (id) ON DELETE CASCADE,
	role_id TEXT NOT NULL COLLATE BINARY REFERENCES roles (id) ON DELETE CASCADE,
	PRIMARY KEY (group_id, role_id)
);
CREATE INDEX group_roles_role ON group_roles (role_id);

INSERT INTO counters (name, value) VALUES ('role_permission', 0);

-- Of the object that an event is about, as its context names it; and all that a
-- search looks at, a line each.
ALTER TABLE events ADD COLUMN model_app TEXT NOT NULL DEFAULT '' COLLATE BINARY;
ALTER TABLE events ADD COLUMN model_name TEXT NOT NULL DEFAULT '' COLLATE BINARY;
ALTER TABLE events ADD COLUMN model_pk TEXT NOT NULL DEFAULT '' COLLATE BINARY;
ALTER TABLE events ADD COLUMN username_fold TEXT NOT NULL DEFAULT '' COLLATE BINARY;
ALTER TABLE events ADD COLUMN search_fold TEXT NOT NULL DEFAULT '' COLLATE BINARY;
CREATE INDEX events_newest ON events (at DESC, id);
CREATE INDEX events_action ON events (action, at DESC, id);

-- +goose Down
DROP INDEX events_action;
DROP INDEX events_newest;
ALTER TABLE events DROP COLUMN search_fold;
ALTER TABLE events DROP COLUMN username_fold;
ALTER TABLE events DROP COLUMN model_pk;
ALTER TABLE events DROP COLUMN model_name;
ALTER TABLE events DROP COLUMN model_app;
DROP TABLE group_roles;
DROP TABLE role_permissions;
DROP TABLE roles;
DELETE FROM counters WHERE name = 'role_permission';
