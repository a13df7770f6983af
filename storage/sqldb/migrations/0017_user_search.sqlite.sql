-- What a search for users asks first: which of them have all of a word's trigrams. Rows are
-- numbered as users.pk, as only an INTEGER PRIMARY KEY keeps rowids as they are. It keeps no
-- text, so what is taken out of it is told by the text that was put in.

-- +goose Up
CREATE VIRTUAL TABLE users_search USING fts5 (folded, tokenize = 'trigram case_sensitive 1', content = '', columnsize = 0, detail = none);
INSERT INTO users_search (rowid, folded) SELECT pk, username_fold || ' ' || name_fold || ' ' || email_fold FROM users;

-- +goose StatementBegin
CREATE TRIGGER users_search_insert AFTER INSERT ON users BEGIN
	INSERT INTO users_search (rowid, folded) VALUES (new.pk, new.username_fold || ' ' || new.name_fold || ' ' || new.email_fold);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER users_search_delete AFTER DELETE ON users BEGIN
	INSERT INTO users_search (users_search, rowid, folded) VALUES ('delete', old.pk, old.username_fold || ' ' || old.name_fold || ' ' || old.email_fold);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER users_search_update AFTER UPDATE OF pk, username_fold, name_fold, email_fold ON users
WHEN old.pk <> new.pk OR old.username_fold <> new.username_fold OR old.name_fold <> new.name_fold OR old.email_fold <> new.email_fold BEGIN
	INSERT INTO users_search (users_search, rowid, folded) VALUES ('delete', old.pk, old.username_fold || ' ' || old.name_fold || ' ' || old.email_fold);
	INSERT INTO users_search (rowid, folded) VALUES (new.pk, new.username_fold || ' ' || new.name_fold || ' ' || new.email_fold);
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER users_search_update;
DROP TRIGGER users_search_delete;
DROP TRIGGER users_search_insert;
DROP TABLE users_search;
