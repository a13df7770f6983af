package sqldb

import (
	"context"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const tokenColumns = `k.id, k.identifier, k.intent, k.user_id, coalesce(k.managed, ''), k.description, k.expiring, k.expires, k.created, k.updated` //nolint:gosec // names of columns

const tokenPurpose = "token key"

func tokenPlace(id string) string { return "tokens/key_sealed/" + id }

func scanToken(s scanner, more ...any) (*core.Token, error) {
	var k core.Token
	var expires, created, updated int64
	err := s.Scan(append([]any{&k.ID, &k.Identifier, &k.Intent, &k.User, &k.Managed, &k.Description, &k.Expiring, &expires, &created, &updated}, more...)...)
	if err != nil {
		return nil, err
	}
	k.Expires, k.Created, k.Updated = fromMicros(expires), fromMicros(created), fromMicros(updated)
	return &k, nil
}

func (db *DB) oneToken(ctx context.Context, t core.TenantID, where string, arg any) (k *core.Token, err error) {
	err = db.read(ctx, t, directory, "read token", func(q *conn) error {
		k, err = scanToken(q.row(ctx, `SELECT `+tokenColumns+` FROM tokens k WHERE `+where, arg))
		return err
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Token finds a token by identifier.
func (db *DB) Token(ctx context.Context, t core.TenantID, identifier string) (*core.Token, error) {
	return db.oneToken(ctx, t, `k.identifier = $1`, identifier)
}

// TokenByKey finds a token by the hash of its key. It does not look at Expires.
func (db *DB) TokenByKey(ctx context.Context, t core.TenantID, hash [32]byte) (*core.Token, error) {
	return db.oneToken(ctx, t, `k.key_hash = $1`, hash)
}

// TokenKey returns a token's key.
func (db *DB) TokenKey(ctx context.Context, t core.TenantID, identifier string) (key core.Secret, err error) {
	err = db.read(ctx, t, directory, "read token key", func(q *conn) error {
		var id string
		var sealed []byte
		if err := q.row(ctx, `SELECT id, key_sealed FROM tokens WHERE identifier = $1`, identifier).Scan(&id, &sealed); err != nil {
			return err
		}
		key, err = q.unseal(tokenPurpose, tokenPlace(id), sealed)
		return err
	})
	return key, err
}

// SetTokenKey replaces a token's key.
func (db *DB) SetTokenKey(ctx context.Context, t core.TenantID, identifier string, key core.Secret) error {
	return db.write(ctx, t, directory, "set token key", func(x *tx) error {
		var id string
		if err := x.row(ctx, `SELECT id FROM tokens WHERE identifier = $1`+db.engine.forUpdate(), identifier).Scan(&id); err != nil {
			return err
		}
		x.changed("token", id, "update")
		return x.taken(x.must(ctx, `UPDATE tokens SET key_hash = $2, key_sealed = $3, updated = $4 WHERE id = $1`,
			id, core.Hash(string(key)), x.seal(tokenPurpose, tokenPlace(id), key), micros(db.stamp())))
	})
}

func tokenFilter(name string) (filter, bool) {
	switch name {
	case "pk":
		return equals("k.id"), true
	case "identifier":
		return equals("k.identifier"), true
	case "intent":
		return equals("k.intent"), true
	case "description":
		return equals("k.description"), true
	case "expiring":
		return truth("k.expiring"), true
	case "expires":
		return moment("k.expires", "")
	case "managed":
		return equals("k.managed"), true
	case "managed__isnull":
		return null("k.managed IS NULL"), true
	case "user":
		return number(`k.user_id IN (SELECT u.id FROM users u WHERE u.pk`).close(), true
	case "user__username":
		return folded(`k.user_id IN (SELECT u.id FROM users u WHERE u.username_fold`).close(), true
	}
	return filter{}, false
}

func tokenOrder(name string) (string, bool) {
	switch name {
	case "pk":
		return "k.id", true
	case "identifier":
		return "k.identifier_fold", true
	case "intent":
		return "k.intent", true
	case "description":
		return "k.description", true
	case "expiring":
		return "k.expiring", true
	case "expires":
		return "k.expires", true
	case "managed":
		return "coalesce(k.managed, '')", true
	case "user__username", "user":
		return "u.username_fold", true
	}
	return "", false
}

// ListTokens lists tokens: see api.Query.
func (db *DB) ListTokens(ctx context.Context, t core.TenantID, q api.Query) (out []core.Token, total int, err error) {
	const tables = `tokens k JOIN users u ON u.id = k.user_id`
	r := &resource{filter: tokenFilter, order: tokenOrder, search: []string{"k.search_fold", "u.username_fold"}, pk: "k.id"}
	clauses, args, err := r.list(q, "")
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, t, directory, "list tokens", func(c *conn) error {
		out = nil
		err := c.each(ctx, func(s scanner) error {
			k, err := scanToken(s, &total)
			if err == nil {
				out = append(out, *k)
			}
			return err
		}, `SELECT `+tokenColumns+`, count(*) OVER () FROM `+tables+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, tables, clauses, args)
		}
		return err
	})
	return out, total, err
}

func tokenSearch(k *core.Token) string {
	return searchText(k.Identifier, string(k.Intent), k.Description)
}

// CreateToken saves a new token with its key and sets ID, Created and Updated.
func (db *DB) CreateToken(ctx context.Context, t core.TenantID, k *core.Token, key core.Secret) error {
	return db.write(ctx, t, directory, "create token", func(x *tx) error {
		id, now := db.newID(), db.stamp()
		if err := x.userExists(ctx, k.User); err != nil {
			return err
		}
		err := x.exec(ctx, `INSERT INTO tokens (id, identifier, identifier_fold, intent, user_id, managed, description, search_fold, expiring, expires,
				key_hash, key_sealed, created, updated)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)`,
			id, k.Identifier, core.Fold(k.Identifier), k.Intent, k.User, orNull(k.Managed), k.Description, tokenSearch(k), k.Expiring, micros(k.Expires),
			core.Hash(string(key)), x.seal(tokenPurpose, tokenPlace(id), key), micros(now))
		if err != nil {
			return x.taken(err)
		}
		x.changed("token", id, "create")
		k.ID, k.Created, k.Updated = id, now, now
		return nil
	})
}

func (x *tx) userExists(ctx context.Context, id core.UserID) error {
	return x.refers(ctx, "user", id, `SELECT 1 FROM users WHERE id = $1`)
}

// UpdateToken loads a token, calls change and saves. The key stays.
func (db *DB) UpdateToken(ctx context.Context, t core.TenantID, identifier string, change func(*core.Token) error) (k *core.Token, err error) {
	err = db.write(ctx, t, directory, "update token", func(x *tx) error {
		k, err = scanToken(x.row(ctx, `SELECT `+tokenColumns+` FROM tokens k WHERE k.identifier = $1`+db.engine.forUpdate(), identifier))
		if err != nil {
			return err
		}
		id, created := k.ID, k.Created
		if err := onlyOn(ctx, "token", id); err != nil {
			return err
		}
		if err := change(k); err != nil {
			return unwrapped{err}
		}
		k.ID, k.Created, k.Updated = id, created, db.stamp()
		if err := x.userExists(ctx, k.User); err != nil {
			return err
		}
		err := x.must(ctx, `UPDATE tokens SET identifier = $2, identifier_fold = $3, intent = $4, user_id = $5, managed = $6, description = $7,
				search_fold = $8, expiring = $9, expires = $10, updated = $11 WHERE id = $1`,
			id, k.Identifier, core.Fold(k.Identifier), k.Intent, k.User, orNull(k.Managed), k.Description,
			tokenSearch(k), k.Expiring, micros(k.Expires), micros(k.Updated))
		x.changed("token", id, "update")
		return x.taken(err)
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// DeleteToken deletes a token.
func (db *DB) DeleteToken(ctx context.Context, t core.TenantID, identifier string) error {
	return db.write(ctx, t, directory, "delete token", func(x *tx) error {
		var id string
		if err := x.row(ctx, `DELETE FROM tokens WHERE identifier = $1 RETURNING id`, identifier).Scan(&id); err != nil {
			return err
		}
		x.changed("token", id, "delete")
		return onlyOn(ctx, "token", id)
	})
}
