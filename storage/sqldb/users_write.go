package sqldb

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-sso/postern/core"
)

// CreateUser saves a new user and sets ID, PK, Created and Updated.
func (db *DB) CreateUser(ctx context.Context, t core.TenantID, u *core.User) error {
	return db.write(ctx, t, directory, "create user", func(x *tx) error { return x.createUser(ctx, u) })
}

func (x *tx) createUser(ctx context.Context, u *core.User) error {
	attributes, err := attributesText(u.Attributes)
	if err != nil {
		return err
	}
	id, now := core.UserID(x.db.newID()), x.db.stamp()
	pk, err := x.next(ctx, "user")
	if err != nil {
		return err
	}
	err = x.exec(ctx, `INSERT INTO users (id, pk, username, username_fold, name, name_fold, email, email_fold, email_verified, active,
			type, path, path_fold, attributes, password_hash, password_changed, last_login, created, updated)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, '', 0, $15, $16, $16)`,
		id, pk, u.UserName, core.Fold(u.UserName), u.DisplayName, core.Fold(u.DisplayName), u.Email, core.Fold(u.Email),
		u.EmailVerified, u.Active, u.Type, u.Path, core.Fold(u.Path), attributes, micros(u.LastLogin), micros(now))
	if err != nil {
		return x.taken(err)
	}
	if err := x.setAttributes(ctx, "user", string(id), attributes); err != nil {
		return err
	}
	x.changed("user", string(id), "create")
	if err := x.setGroups(ctx, id, nil, u.Groups); err != nil {
		return err
	}
	if err := x.setUserRoles(ctx, id, nil, u.Roles); err != nil {
		return err
	}
	u.ID, u.PK, u.Created, u.Updated, u.PasswordChanged = id, pk, now, now, fromMicros(0)
	return nil
}

// setGroups makes a user's direct memberships what want says.
func (x *tx) setGroups(ctx context.Context, id core.UserID, have, want []core.GroupID) error {
	changed := false
	for _, g := range have {
		if slices.Contains(want, g) {
			continue
		}
		if err := x.exec(ctx, `DELETE FROM memberships WHERE user_id = $1 AND group_id = $2`, id, g); err != nil {
			return err
		}
		changed = true
	}
	for _, g := range want {
		if slices.Contains(have, g) {
			continue
		}
		added, err := x.addMember(ctx, g, id)
		if err != nil {
			return err
		}
		changed = changed || added
	}
	if changed {
		x.changed("membership", string(id), "update")
	}
	return nil
}

// addMember is false where the user was a member before.
func (x *tx) addMember(ctx context.Context, g core.GroupID, u core.UserID) (bool, error) {
	n, err := x.count(ctx, `INSERT INTO memberships (user_id, group_id)
		SELECT CAST($1 AS TEXT), id FROM groups WHERE id = $2 ON CONFLICT (user_id, group_id) DO NOTHING`, u, g)
	if err != nil || n > 0 {
		return n > 0, err
	}
	return false, x.refers(ctx, "groups", g, `SELECT 1 FROM groups WHERE id = $1`)
}

// UpdateUser loads a user, calls change and saves. One that is no longer active
// loses its sessions and grants.
func (db *DB) UpdateUser(ctx context.Context, t core.TenantID, pk int64, change func(*core.User) error) (u *core.User, err error) {
	deactivated := false
	err = db.write(ctx, t, directory, "update user", func(x *tx) error {
		deactivated = false
		// Locked first: a statement that waits for the lock has looked at what is not locked, as the groups, before.
		var one int
		if err := x.row(ctx, `SELECT 1 FROM users WHERE pk = $1`+db.engine.forUpdate(), pk).Scan(&one); err != nil {
			return err
		}
		if u, err = x.user(ctx, `u.pk = $1`, pk); err != nil {
			return err
		}
		old := *u
		old.Groups, old.Roles = slices.Clone(u.Groups), slices.Clone(u.Roles)
		if err := change(u); err != nil {
			return unwrapped{err}
		}
		u.ID, u.PK, u.Created, u.PasswordChanged = old.ID, old.PK, old.Created, old.PasswordChanged
		if core.Fold(u.Email) != core.Fold(old.Email) {
			// What was proved was the old address.
			u.EmailVerified = false
		}
		if err := x.saveUser(ctx, u, &old); err != nil {
			return err
		}
		if old.Active && !u.Active {
			deactivated = true
			return x.endUser(ctx, u.ID)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if deactivated {
		// A login that saw the user active may have saved a session meanwhile.
		_, err = db.DeleteUserSessions(ctx, t, u.ID, "")
	}
	return u, err
}

func (x *tx) saveUser(ctx context.Context, u, old *core.User) error {
	attributes, err := attributesText(u.Attributes)
	if err != nil {
		return err
	}
	u.Updated = x.db.stamp()
	err = x.must(ctx, `UPDATE users SET username = $2, username_fold = $3, name = $4, name_fold = $5, email = $6, email_fold = $7,
			email_verified = $8, active = $9, type = $10, path = $11, path_fold = $12, attributes = $13, last_login = $14, updated = $15
		WHERE id = $1`, u.ID, u.UserName, core.Fold(u.UserName), u.DisplayName, core.Fold(u.DisplayName), u.Email, core.Fold(u.Email),
		u.EmailVerified, u.Active, u.Type, u.Path, core.Fold(u.Path), attributes, micros(u.LastLogin), micros(u.Updated))
	if err != nil {
		return x.taken(err)
	}
	if err := x.setAttributes(ctx, "user", string(u.ID), attributes); err != nil {
		return err
	}
	x.changed("user", string(u.ID), "update")
	if err := x.setUserRoles(ctx, u.ID, old.Roles, u.Roles); err != nil {
		return err
	}
	return x.setGroups(ctx, u.ID, old.Groups, u.Groups)
}

// setUserRoles makes a user's own roles what want says.
func (x *tx) setUserRoles(ctx context.Context, id core.UserID, have, want []core.RoleID) error {
	for _, r := range have {
		if slices.Contains(want, r) {
			continue
		}
		if err := x.exec(ctx, `DELETE FROM user_roles WHERE user_id = $1 AND role_id = $2`, id, r); err != nil {
			return err
		}
	}
	for _, r := range want {
		if slices.Contains(have, r) {
			continue
		}
		n, err := x.count(ctx, `INSERT INTO user_roles (user_id, role_id)
			SELECT CAST($1 AS TEXT), id FROM roles WHERE id = $2 ON CONFLICT (user_id, role_id) DO NOTHING`, id, r)
		if errors.Is(err, errText) || err == nil && n == 0 {
			err = x.refers(ctx, "roles", r, `SELECT 1 FROM roles WHERE id = $1`)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// endUser ends what a user holds, within the transaction that takes the user's
// right to it.
func (x *tx) endUser(ctx context.Context, id core.UserID) error {
	if err := x.deleteGrants(ctx, `user_id = $1`, id); err != nil {
		return err
	}
	return x.endSessions(ctx, id)
}

// DeleteUser deletes a user and all that is theirs.
func (db *DB) DeleteUser(ctx context.Context, t core.TenantID, pk int64) error {
	var id core.UserID
	err := db.write(ctx, t, directory, "delete user", func(x *tx) error {
		if err := x.row(ctx, `SELECT id FROM users WHERE pk = $1`+db.engine.forUpdate(), pk).Scan(&id); err != nil {
			return err
		}
		if err := x.endUser(ctx, id); err != nil {
			return err
		}
		x.changed("user", string(id), "delete")
		// Memberships, consents, tokens and links go with it by their foreign keys.
		return x.must(ctx, `DELETE FROM users WHERE id = $1`, id)
	})
	if err != nil {
		return err
	}
	_, err = db.DeleteUserSessions(ctx, t, id, "")
	return err
}
