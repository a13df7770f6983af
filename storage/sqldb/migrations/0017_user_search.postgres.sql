-- What a search for users asks first: which of them have all of a word's trigrams. They are
-- made by functions that every server has, so no extension and no right is needed: the text in
-- pieces of three from its first, second and third character on. A query is served by it that
-- has the same expression (userTrigrams in search.go).
-- What is new waits to be put in with more, which takes a third of the time, but never more than
-- 256 kB of it, as a search reads all that waits.

-- +goose Up
CREATE INDEX users_search ON users USING gin (string_to_array(
	regexp_replace(username_fold || ' ' || name_fold || ' ' || email_fold, '(...)', E'\\1 ', 'g') || ' ' ||
	regexp_replace(substr(username_fold || ' ' || name_fold || ' ' || email_fold, 2), '(...)', E'\\1 ', 'g') || ' ' ||
	regexp_replace(substr(username_fold || ' ' || name_fold || ' ' || email_fold, 3), '(...)', E'\\1 ', 'g'), ' ')) WITH (gin_pending_list_limit = 256);

-- +goose Down
DROP INDEX users_search;
