package api

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/postern-sso/postern/core"
)

func users() *resource[core.User] {
	return &resource[core.User]{
		model: "User", app: "authentik_core", verbose: "User", key: "id",
		members: []member{
			always("pk", integerShape()), always("uuid", uuidShape()), always("uid", textShape()),
			always("avatar", textShape()), always("is_superuser", booleanShape()),
			always("groups_obj", listShape(partialGroupShape()).orNull()), always("roles_obj", listShape(roleShape()).orNull()),
			always("last_login", timeShape().orNull()), always("password_change_date", timeShape()), always("date_joined", timeShape()), always("last_updated", timeShape()),
		},
		params: []parameter{
			flag("include_groups", true, "Show the groups."), flag("include_roles", true, "Show the roles."),
		},
		listing: listing{
			filters: map[string]filter{
				"username": byText, "name": byText, "email": byText, "uuid": byUUID, "path": byText, "path_startswith": byText,
				"is_active": byBool, "is_superuser": byBool, "type": byTexts, "attributes": byText,
				"groups_by_name": byTexts, "groups_by_pk": byUUIDs, "roles_by_name": byTexts, "roles_by_pk": byUUIDs,
				"date_joined": byTime, "date_joined__lt": byTime, "date_joined__gt": byTime,
				"last_updated": byTime, "last_updated__lt": byTime, "last_updated__gt": byTime,
				"last_login": byTime, "last_login__lt": byTime, "last_login__gt": byTime, "last_login__isnull": byBool,
			},
			order:  []string{"username", "name", "email", "is_active", "last_login", "date_joined", "last_updated", "type", "path", "pk", "uuid"},
			preset: []string{"username"},
		},
		find: findUser,
		page: func(c *call, q Query) ([]core.User, int, error) { return c.Store.ListUsers(c.ctx(), c.t, q) },
		create: func(c *call, u *core.User) error {
			return userTaken(c.Store.CreateUser(c.ctx(), c.t, u))
		},
		update: func(c *call, key string, change func(*core.User) error) (*core.User, error) {
			pk, err := userPK(key)
			if err != nil {
				return nil, err
			}
			u, err := c.Store.UpdateUser(c.ctx(), c.t, pk, change)
			return u, userTaken(err)
		},
		remove: func(c *call, key string) error {
			pk, err := userPK(key)
			if err != nil {
				return err
			}
			return c.Store.DeleteUser(c.ctx(), c.t, pk)
		},
		fresh: func(*call) *core.User {
			return &core.User{Active: true, Type: core.UserInternal, Path: "users", Attributes: map[string]any{}}
		},
		read:  readUser,
		check: checkUser,
		// Who is no longer active, or no longer there, is no longer logged in.
		after: func(c *call, old, u *core.User) error {
			switch {
			case u == nil:
				return c.endSessions(old.ID)
			case !u.Active:
				return c.endSessions(u.ID)
			}
			return nil
		},
		gather: gatherUsers,
		show:   func(c *call, u *core.User) (any, error) { return showUser(c, u) },
		label:  func(u *core.User) (string, string) { return strconv.FormatInt(u.PK, 10), u.UserName },
	}
}

func findUser(c *call, key string) (*core.User, error) {
	pk, err := userPK(key)
	if err != nil {
		return nil, err
	}
	return c.Store.UserByPK(c.ctx(), c.t, pk)
}

func userPK(key string) (int64, error) {
	pk, err := strconv.ParseInt(key, 10, 32)
	if err != nil || pk < 1 {
		return 0, core.ErrNotFound
	}
	return pk, nil
}

// forUser is the user that the query's for_user names, or the one who asks.
func (c *call) forUser() (*core.User, error) {
	key := c.param("for_user")
	if key == "" || key == strconv.FormatInt(c.user.PK, 10) {
		return c.user, nil
	}
	if err := c.require("authentik_core.view_user"); err != nil {
		return nil, err
	}
	u, err := findUser(c, key)
	if errors.Is(err, core.ErrNotFound) {
		return nil, invalid{"for_user": {"User not found"}}
	}
	return u, err
}

// userTaken words a taken name as Django does where a serializer checks it.
func userTaken(err error) error {
	field := (*core.FieldError)(nil)
	if errors.As(err, &field) && errors.Is(err, core.ErrExists) && field.Field == "username" {
		return invalid{"username": {"This field must be unique."}}
	}
	return err
}

// readUser leaves alone what only the system knows: is_superuser follows from the
// groups, a password has a call of its own, and whether an address is proven the
// store keeps.
func readUser(f *fields, u *core.User) {
	text(f, "username", rule{required: true, max: 150}, &u.UserName)
	text(f, "name", rule{required: true, blank: true, max: 1000}, &u.DisplayName)
	text(f, "email", rule{blank: true, max: 254, format: emailFormat}, &u.Email)
	boolean(f, "is_active", &u.Active)
	choice(f, "type", &u.Type, userTypes()...)
	text(f, "path", rule{max: 1000}, &u.Path)
	switch {
	case strings.HasPrefix(u.Path, "/") || strings.HasSuffix(u.Path, "/"):
		f.fail("path", "No leading or trailing slashes allowed.")
	case strings.Contains(u.Path, "//"):
		f.fail("path", "No empty segments in user path allowed.")
	}
	dict(f, "attributes", &u.Attributes)
	references(f, "groups", &u.Groups)
	references(f, "roles", &u.Roles)
}

func userTypes() []core.UserType {
	return []core.UserType{core.UserInternal, core.UserExternal, core.UserServiceAccount, core.UserInternalServiceAccount}
}

// roleShape, partialUserShape and their like are objects as part of others.
func roleShape() shape { return roles().shape() }

func partialUserShape() shape {
	return objectShape("PartialUser", always("pk", integerShape()), always("username", textShape()), always("name", textShape()),
		always("is_active", booleanShape()), always("last_login", timeShape().orNull()), always("email", textShape()),
		always("attributes", dictShape()), always("uid", textShape()))
}

func forUser() parameter {
	return parameter{name: "for_user", kind: byInt, text: "The user instead of who asks."}
}

// isEmail: one address as RFC 5322 has it, without a display name, and nothing
// quoted, so that there is one "@" in it.
func isEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || strings.ContainsAny(s, "\"() ") {
		return false
	}
	_, domain, _ := strings.Cut(s, "@")
	return strings.Trim(domain, ".") == domain
}

func checkUser(c *call, f *fields, u, old *core.User) error {
	if old != nil && old.Type != u.Type && (old.Type == core.UserInternalServiceAccount || u.Type == core.UserInternalServiceAccount) ||
		old == nil && u.Type == core.UserInternalServiceAccount {
		f.fail("type", "The type internal_service_account is given to built-in accounts only, and stays.")
	}
	for _, id := range u.Roles {
		if !f.has("roles") || len(f.errs["roles"]) > 0 {
			break
		}
		if _, err := c.role(id); errors.Is(err, core.ErrNotFound) {
			f.fail("roles", noPK(string(id)))
		} else if err != nil {
			return err
		}
	}
	if !f.has("groups") || len(f.errs["groups"]) > 0 {
		return nil
	}
	var had []core.GroupID
	if old != nil {
		had = old.Groups
	}
	if err := c.mayMove(had, u.Groups); err != nil {
		return err
	}
	for _, id := range u.Groups {
		if _, err := c.group(id); errors.Is(err, core.ErrNotFound) {
			f.fail("groups", noPK(string(id)))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// mayMove refuses to change what somebody belongs to without the right to put users
// into groups, or to take them out.
func (c *call) mayMove(from, to []core.GroupID) error {
	if slices.ContainsFunc(to, func(id core.GroupID) bool { return !slices.Contains(from, id) }) {
		if err := c.require("authentik_core.add_user_to_group"); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(from, func(id core.GroupID) bool { return !slices.Contains(to, id) }) {
		return c.require("authentik_core.remove_user_from_group")
	}
	return nil
}

// endSessions logs a user out everywhere.
func (c *call) endSessions(u core.UserID) error {
	if c.Sessions == nil {
		return nil
	}
	if err := c.Sessions.EndUser(c.ctx(), c.t, u, ""); err != nil {
		return fmt.Errorf("end the user's sessions: %w", err)
	}
	return nil
}

// isSuperuser reports whether any of the groups, or of their ancestors, makes its
// members administrators.
func (c *call) isSuperuser(ids []core.GroupID) (bool, error) {
	queue := slices.Clone(ids)
	met := map[core.GroupID]bool{}
	for len(queue) > 0 {
		id := queue[0]
		if queue = queue[1:]; met[id] {
			continue
		}
		met[id] = true
		g, err := c.group(id)
		if errors.Is(err, core.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return false, err
		}
		if g.Superuser {
			return true, nil
		}
		queue = append(queue, g.Parents...)
	}
	return false, nil
}

func showUser(c *call, u *core.User) (object, error) {
	super, err := c.isSuperuser(u.Groups)
	if err != nil {
		return nil, err
	}
	changed := u.PasswordChanged
	if changed.IsZero() {
		changed = u.Created
	}
	out := object{
		"pk": u.PK, "uuid": string(u.ID), "uid": u.HashedID(c.info.Tenant.UUID), "username": u.UserName, "name": u.DisplayName,
		"email": u.Email, "is_active": u.Active, "is_superuser": super, "type": string(u.Type), "path": u.Path,
		"attributes": attributes(u.Attributes), "avatar": avatar(u), "groups": list(u.Groups), "groups_obj": nil,
		"roles": list(u.Roles), "roles_obj": nil,
		"last_login": stamp(u.LastLogin), "date_joined": stamp(u.Created), "last_updated": stamp(u.Updated),
		"password_change_date": stamp(changed),
	}
	if c.wants("include_groups", true) && c.may("authentik_core.view_group") {
		groups := []object{}
		for _, id := range u.Groups {
			g, err := c.group(id)
			if errors.Is(err, core.ErrNotFound) {
				continue // deleted meanwhile
			}
			if err != nil {
				return nil, err
			}
			groups = append(groups, briefGroup(g))
		}
		out["groups_obj"] = groups
	}
	if c.wants("include_roles", true) {
		if out["roles_obj"], err = showRoles(c, u.Roles); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// briefUser is a user as a member of something.
func briefUser(c *call, u *core.User) object {
	return object{
		"pk": u.PK, "username": u.UserName, "name": u.DisplayName, "is_active": u.Active, "last_login": stamp(u.LastLogin),
		"email": u.Email, "attributes": attributes(u.Attributes), "uid": u.HashedID(c.info.Tenant.UUID),
	}
}

// wants reports what an include_… parameter says; preset is for the routes that
// have none of the name.
func (c *call) wants(name string, preset bool) bool {
	switch c.param(name) {
	case "true":
		return true
	case "false":
		return false
	}
	return preset
}

// attributes is never null.
func attributes(a map[string]any) map[string]any {
	if a == nil {
		return object{}
	}
	return a
}

// avatar is a picture of the user's initials, as a data: URL.
func avatar(u *core.User) string {
	name := u.DisplayName
	if strings.TrimSpace(name) == "" {
		name = u.UserName
	}
	initials := ""
	for i, word := range strings.Fields(name) {
		if i == 2 {
			break
		}
		initials += string(unicode.ToUpper([]rune(word)[0]))
	}
	hue := sha256.Sum256([]byte(u.ID))
	svg := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 64 64">`+
		`<rect width="64" height="64" fill="hsl(%d,45%%,40%%)"/><text x="32" y="32" fill="#fff" font-family="sans-serif" `+
		`font-size="26" text-anchor="middle" dominant-baseline="central">%s</text></svg>`, int(hue[0])*360/256, html.EscapeString(initials))
	return "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg))
}
