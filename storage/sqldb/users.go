package sqldb

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const userColumns = `u.id, u.pk, u.username, u.name, u.email, u.email_verified, u.active, u.type, u.path,
	u.attributes, u.last_login, u.password_changed, u.created, u.updated`

// scanUser reads userColumns, and what comes after them into the rest.
func scanUser(s scanner, after ...any) (*core.User, error) {
	var u core.User
	var attributes string
	var login, password, created, updated int64
	err := s.Scan(append([]any{&u.ID, &u.PK, &u.UserName, &u.DisplayName, &u.Email, &u.EmailVerified, &u.Active, &u.Type, &u.Path,
		&attributes, &login, &password, &created, &updated}, after...)...)
	if err != nil {
		return nil, err
	}
	u.LastLogin, u.PasswordChanged = fromMicros(login), fromMicros(password)
	u.Created, u.Updated = fromMicros(created), fromMicros(updated)
	u.Attributes, err = fromJSONObject(attributes)
	return &u, err
}

// oneUserColumns are those of a user with the IDs of their groups and of their own roles: one question instead of three,
// as each has the way to the database and back.
const oneUserColumns = userColumns + `,
	(SELECT string_agg(m.group_id, ' ') FROM memberships m WHERE m.user_id = u.id),
	(SELECT string_agg(r.role_id, ' ') FROM user_roles r WHERE r.user_id = u.id)`

// user reads the one user that a condition on $1 finds, with the groups.
func (c *conn) user(ctx context.Context, where string, arg any) (*core.User, error) {
	var groups, roles sql.NullString
	u, err := scanUser(c.row(ctx, `SELECT `+oneUserColumns+` FROM users u WHERE `+where, arg), &groups, &roles)
	if err != nil {
		return nil, err
	}
	for id := range strings.FieldsSeq(groups.String) {
		u.Groups = append(u.Groups, core.GroupID(id))
	}
	for id := range strings.FieldsSeq(roles.String) {
		u.Roles = append(u.Roles, core.RoleID(id))
	}
	slices.Sort(u.Groups)
	slices.Sort(u.Roles)
	return u, nil
}

// users reads a list of users, with the groups.
func (c *conn) users(ctx context.Context, query string, args ...any) (out []core.User, err error) {
	err = c.each(ctx, func(s scanner) error {
		u, err := scanUser(s)
		if err == nil {
			out = append(out, *u)
		}
		return err
	}, query, args...)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	at := make(map[core.UserID]*core.User, len(out))
	b := new(builder)
	ids := make([]core.UserID, len(out))
	for i := range out {
		at[out[i].ID] = &out[i]
		ids[i] = out[i].ID
	}
	list := in(b, ids)
	err = c.each(ctx, func(s scanner) error {
		var u core.UserID
		var g core.GroupID
		if err := s.Scan(&u, &g); err != nil {
			return err
		}
		at[u].Groups = append(at[u].Groups, g)
		return nil
	}, `SELECT user_id, group_id FROM memberships WHERE user_id IN (`+list+`) ORDER BY user_id, group_id`, b.args...)
	if err != nil {
		return nil, err
	}
	err = c.each(ctx, func(s scanner) error {
		var u core.UserID
		var r core.RoleID
		if err := s.Scan(&u, &r); err != nil {
			return err
		}
		at[u].Roles = append(at[u].Roles, r)
		return nil
	}, `SELECT user_id, role_id FROM user_roles WHERE user_id IN (`+list+`) ORDER BY user_id, role_id`, b.args...)
	return out, err
}

func (db *DB) oneUser(ctx context.Context, t core.TenantID, where string, arg any) (u *core.User, err error) {
	err = db.read(ctx, t, directory, "read user", func(q *conn) error {
		u, err = q.user(ctx, where, arg)
		return err
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

// User finds a user by ID.
func (db *DB) User(ctx context.Context, t core.TenantID, id core.UserID) (*core.User, error) {
	return db.oneUser(ctx, t, `u.id = $1`, id)
}

// UserByPK finds a user by the API's integer.
func (db *DB) UserByPK(ctx context.Context, t core.TenantID, pk int64) (*core.User, error) {
	return db.oneUser(ctx, t, `u.pk = $1`, pk)
}

// UserByName finds a user by name, compared after core.Fold.
func (db *DB) UserByName(ctx context.Context, t core.TenantID, name string) (*core.User, error) {
	return db.oneUser(ctx, t, `u.username_fold = $1`, core.Fold(name))
}

// UserByLogin finds a user by name, else by an e-mail address that exactly one
// user has. A name wins over another user's address.
func (db *DB) UserByLogin(ctx context.Context, t core.TenantID, login string) (*core.User, error) {
	name := core.Fold(login)
	if name == "" {
		// Many users have no address: it names none of them.
		return nil, core.ErrNotFound
	}
	return db.oneUser(ctx, t, `(u.username_fold = $1 OR u.email_fold = $1 AND (SELECT count(*) FROM users o WHERE o.email_fold = u.email_fold) = 1)
		ORDER BY CASE WHEN u.username_fold = $1 THEN 0 ELSE 1 END LIMIT 1`, name)
}

// UserGroups lists the groups that a user is in, direct and inherited.
func (db *DB) UserGroups(ctx context.Context, t core.TenantID, id core.UserID) (out []core.Group, err error) {
	err = db.read(ctx, t, directory, "read user's groups", func(q *conn) error {
		// UNION, not UNION ALL: a group that was met is not followed again. CROSS JOIN
		// makes SQLite begin with the few that were found.
		out, _, err = q.groups(ctx, `WITH RECURSIVE up (id) AS (
				SELECT group_id FROM memberships WHERE user_id = $1
				UNION SELECT p.parent_id FROM group_parents p JOIN up ON up.id = p.group_id
			) SELECT `+groupColumns+`, 0 FROM up CROSS JOIN groups g WHERE g.id = up.id ORDER BY g.name_fold, g.pk`, id)
		if err != nil || len(out) > 0 {
			return err
		}
		var n int
		return q.row(ctx, `SELECT 1 FROM users WHERE id = $1`, id).Scan(&n)
	})
	return out, err
}

// superusers are the users in a superuser group or below one.
const superusers = `u.id IN (
	SELECT m.user_id FROM memberships m WHERE m.group_id IN (
		WITH RECURSIVE down (id) AS (
			SELECT id FROM groups WHERE superuser
			UNION SELECT p.group_id FROM group_parents p JOIN down ON down.id = p.parent_id
		) SELECT id FROM down))`

func userResource() *resource {
	return &resource{filter: userFilter, order: userOrder, search: []string{"u.username_fold", "u.name_fold", "u.email_fold"}, pk: "u.pk"}
}

func userFilter(name string) (filter, bool) {
	field, lookup, _ := strings.Cut(name, "__")
	switch field {
	case "date_joined":
		return moment("u.created", lookup)
	case "last_updated":
		return moment("u.updated", lookup)
	case "last_login":
		return moment("u.last_login", lookup)
	}
	switch name {
	case "pk":
		return number("u.pk"), true
	case "uuid":
		return equals("u.id"), true
	case "username":
		return folded("u.username_fold"), true
	case "email":
		return folded("u.email_fold"), true
	case "name":
		return equals("u.name"), true
	case "is_active":
		return truth("u.active"), true
	case "is_superuser":
		return truth(superusers), true
	case "type":
		return equals("u.type"), true
	case "path":
		return equals("u.path"), true
	case "path_startswith":
		return filter{asPrefix, startsWith("u.path")}, true
	case "groups_by_name":
		return equals(`u.id IN (SELECT m.user_id FROM memberships m JOIN groups g ON g.id = m.group_id WHERE g.name`).close(), true
	case "groups_by_pk":
		return equals(`u.id IN (SELECT m.user_id FROM memberships m WHERE m.group_id`).close(), true
	case "roles_by_name":
		return equals(`u.id IN (SELECT ur.user_id FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE r.name`).close(), true
	case "roles_by_pk":
		return equals(`u.id IN (SELECT ur.user_id FROM user_roles ur WHERE ur.role_id`).close(), true
	case "attributes":
		return filter{asPairs, `u.id IN (SELECT a.user_id FROM user_attributes a WHERE a.pair = %s)`}, true
	}
	return filter{}, false
}

// close ends a subquery that a filter's column opened.
func (f filter) close() filter { return filter{f.match, f.sql + ")"} }

// startsWith compares a prefix byte by byte, which LIKE does not on SQLite.
func startsWith(col string) string {
	return "substr(" + col + ", 1, length(CAST(%[1]s AS TEXT))) = CAST(%[1]s AS TEXT)"
}

func userOrder(name string) (string, bool) {
	switch name {
	case "pk", "id":
		return "u.pk", true
	case "uuid":
		return "u.id", true
	case "username":
		return "u.username_fold", true
	case "name":
		return "u.name_fold", true
	case "email":
		return "u.email_fold", true
	case "is_active":
		return "u.active", true
	case "type":
		return "u.type", true
	case "path":
		return "u.path", true
	case "last_login":
		return "u.last_login", true
	case "date_joined":
		return "u.created", true
	case "last_updated":
		return "u.updated", true
	case "password_change_date":
		return "u.password_changed", true
	}
	return "", false
}

// ListUsers lists users: see api.Query.
func (db *DB) ListUsers(ctx context.Context, t core.TenantID, q api.Query) (out []core.User, total int, err error) {
	if _, _, err := userResource().list(q, ""); err != nil { // what is wrong is told before anybody is asked
		return nil, 0, err
	}
	err = db.read(ctx, t, directory, "list users", func(c *conn) error {
		out, total, err = c.listUsers(ctx, q)
		if err == nil && everybody(q) && total > db.fewPeople { // who looks at a list is about to search
			db.readTexts(t, db.people(t))
		}
		return err
	})
	return out, total, err
}

func (c *conn) listUsers(ctx context.Context, q api.Query) (out []core.User, total int, err error) {
	if everybody(q) && byNumber(q) {
		return c.pageOfPeople(ctx, q)
	}
	f, err := c.find(ctx, q)
	if err != nil || f.total == 0 {
		return nil, 0, err
	}
	if f.paged {
		if f.total <= q.Offset {
			return nil, f.total, nil
		}
		q.Offset = 0
	}
	clauses, args, err := userResource().list(q, f.always, f.args...)
	if err != nil {
		return nil, 0, err
	}
	out, err = c.users(ctx, `SELECT `+userColumns+` FROM users u`+clauses, args...)
	switch {
	case err != nil:
		return nil, 0, err
	case f.total >= 0:
		total = f.total
	case everybody(q):
		total, _, err = c.countPeople(ctx, c.db.people(c.tenant))
	default:
		total, err = c.total(ctx, `users u`, clauses, args, len(out))
	}
	return out, total, err
}

// total counts all that match, in a query of its own: beside a page it would read every row
// whole, where the page is read along its index. A page of n rows that is not full tells
// without.
func (c *conn) total(ctx context.Context, from, clauses string, args []any, n int) (int, error) {
	limit, _ := args[len(args)-2].(int64)
	offset, _ := args[len(args)-1].(int64)
	if int64(n) < limit && (n > 0 || offset == 0) {
		return int(offset) + n, nil
	}
	return c.countAll(ctx, from, clauses, args)
}

// countAll counts all that a list would show on its pages.
func (c *conn) countAll(ctx context.Context, from, clauses string, args []any) (n int, err error) {
	where, _, _ := strings.Cut(clauses, " ORDER BY ")
	// The last two parameters are limit and offset.
	err = c.row(ctx, `SELECT count(*) FROM `+from+where, args[:len(args)-2]...).Scan(&n)
	return n, err
}
