-- Roles that a user has beside those of their groups.

-- +goose Up
CREATE TABLE user_roles (
	user_id TEXT NOT NULL COLLATE BINARY REFERENCES users (id) ON DELETE CASCADE,
	role_id TEXT NOT NULL COLLATE BINARY REFERENCES roles (id) ON DELETE CASCADE,
	PRIMARY KEY (user_id, role_id)
);
CREATE INDEX user_roles_role ON user_roles (role_id);

-- +goose Down
DROP TABLE user_roles;
