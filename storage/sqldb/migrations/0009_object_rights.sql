-- Rights of roles on single objects. A table of their own: to a version before, a line
-- among role_permissions would be a right on all objects of the kind.

-- +goose Up
CREATE TABLE role_object_permissions (
	pk BIGINT NOT NULL PRIMARY KEY,
	role_id TEXT NOT NULL COLLATE BINARY REFERENCES roles (id) ON DELETE CASCADE,
	permission TEXT NOT NULL COLLATE BINARY,
	object_id TEXT NOT NULL COLLATE BINARY,
	UNIQUE (role_id, permission, object_id)
);

-- +goose Down
DROP TABLE role_object_permissions;
