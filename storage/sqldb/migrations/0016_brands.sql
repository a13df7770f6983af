-- How a tenant looks at its hosts, and its settings. tenants.brand is read no more.

-- +goose Up
CREATE TABLE brands (
	id TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
	domain TEXT NOT NULL COLLATE BINARY,
	domain_fold TEXT NOT NULL UNIQUE COLLATE BINARY,
	is_default BOOLEAN NOT NULL,
	title TEXT NOT NULL COLLATE BINARY,
	title_fold TEXT NOT NULL COLLATE BINARY,
	logo TEXT NOT NULL COLLATE BINARY,
	favicon TEXT NOT NULL COLLATE BINARY,
	background TEXT NOT NULL COLLATE BINARY,
	css TEXT NOT NULL,
	flow_authentication TEXT NOT NULL COLLATE BINARY,
	flow_invalidation TEXT NOT NULL COLLATE BINARY,
	flow_recovery TEXT NOT NULL COLLATE BINARY,
	flow_unenrollment TEXT NOT NULL COLLATE BINARY,
	flow_user_settings TEXT NOT NULL COLLATE BINARY,
	flow_device_code TEXT NOT NULL COLLATE BINARY,
	application_id TEXT COLLATE BINARY REFERENCES applications (id) ON DELETE SET NULL,
	web_certificate TEXT COLLATE BINARY REFERENCES key_pairs (id) ON DELETE SET NULL,
	attributes TEXT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL
);
CREATE INDEX brands_application ON brands (application_id);
CREATE INDEX brands_web_certificate ON brands (web_certificate);

CREATE TABLE brand_certificates (
	brand_id TEXT NOT NULL COLLATE BINARY REFERENCES brands (id) ON DELETE CASCADE,
	key_pair_id TEXT NOT NULL COLLATE BINARY REFERENCES key_pairs (id) ON DELETE CASCADE,
	position BIGINT NOT NULL,
	PRIMARY KEY (brand_id, key_pair_id)
);
CREATE INDEX brand_certificates_key_pair ON brand_certificates (key_pair_id);

-- Whoever changes brands takes turns by it.
INSERT INTO counters (name, value) VALUES ('brand', 0);

-- One row, or none while everything is as at the beginning.
CREATE TABLE settings (
	id BIGINT NOT NULL PRIMARY KEY,
	data TEXT NOT NULL, -- JSON
	updated BIGINT NOT NULL
);

-- +goose Down
DROP TABLE settings;
DELETE FROM counters WHERE name = 'brand';
DROP TABLE brand_certificates;
DROP TABLE brands;
