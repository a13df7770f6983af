-- What queries are narrowed by that had no index.

-- +goose Up
CREATE INDEX grants_client ON grants (client_id);
CREATE INDEX former_keys_left_pair ON former_keys (left_pair);
CREATE INDEX tokens_expires ON tokens (expires) WHERE expiring;
CREATE INDEX refresh_tokens_answered ON refresh_tokens (used) WHERE answer IS NOT NULL;
CREATE INDEX groups_superuser ON groups (id) WHERE superuser;
CREATE INDEX users_path ON users (path);
CREATE INDEX users_exact_name ON users (name);
CREATE INDEX applications_name ON applications (name);
CREATE INDEX entitlements_name ON entitlements (name);
CREATE INDEX mappings_scope ON mappings (scope_name);
CREATE INDEX providers_name ON providers (name_fold);
CREATE INDEX bindings_target ON bindings ((coalesce(application_id, entitlement_id)), position, id);
-- What somebody did, and what was done to an object.
CREATE INDEX events_username ON events (username_fold, at DESC, id);
CREATE INDEX events_model ON events (model_pk, at DESC, id);

-- +goose Down
DROP INDEX events_model;
DROP INDEX events_username;
DROP INDEX bindings_target;
DROP INDEX providers_name;
DROP INDEX mappings_scope;
DROP INDEX entitlements_name;
DROP INDEX applications_name;
DROP INDEX users_exact_name;
DROP INDEX users_path;
DROP INDEX groups_superuser;
DROP INDEX refresh_tokens_answered;
DROP INDEX tokens_expires;
DROP INDEX former_keys_left_pair;
DROP INDEX grants_client;
