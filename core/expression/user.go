package expression

import (
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/postern-sso/postern/core"
)

// person is a user as expressions see one. user is nil for nobody: the empty user that
// "request.user" is where there is none.
type person struct {
	user   *core.User
	groups []*object // direct and inherited; nil: not asked for yet
	known  known
}

// requestUser is the user that the evaluation is about, one object for all names of it.
func (r *run) requestUser() *object {
	if r.user == nil {
		if r.env.User == nil {
			r.user = r.newUser(nil, nil)
		} else {
			r.user = r.newUser(r.env.User, r.env.Groups)
		}
	}
	return r.user
}

func (r *run) newUser(u *core.User, groups []core.Group) *object {
	r.alloc(256)
	p := &person{user: u}
	if u == nil {
		p.groups = []*object{}
	} else if groups != nil {
		p.groups = r.newGroups(groups)
	}
	o := &object{kind: "User", data: p}
	o.text = func() string { return p.name() }
	if u != nil {
		o.id = string(u.ID)
	}
	o.get = func(name string) starlark.Value {
		v := p.known.value(name)
		if v == nil {
			if v = r.userAttribute(p, name); v != nil {
				p.known.keep(name, v)
			}
		}
		return v
	}
	return o
}

func (p *person) name() string {
	if p.user == nil {
		return ""
	}
	return p.user.UserName
}

func asUser(v starlark.Value) *person {
	if o, ok := v.(*object); ok {
		if p, ok := o.data.(*person); ok {
			return p
		}
	}
	fail("TypeError: a user is needed here, not %s", quote(typeName(v)))
	return nil
}

// all are the user's groups, direct and inherited.
func (p *person) all(r *run) []*object {
	if p.groups == nil {
		var groups []core.Group
		r.ask("find the groups of a user", func(d Directory) (err error) {
			groups, err = d.UserGroups(r.ctx, r.tenant, p.user.ID)
			return err
		})
		p.groups = r.newGroups(groups)
	}
	return p.groups
}

// direct are the groups that the user is in without help of a parent.
func (p *person) direct(r *run) []*object {
	var out []*object
	if p.user == nil {
		return nil
	}
	for _, g := range p.all(r) {
		r.charge(1 + len(p.user.Groups)/8)
		if slices.Contains(p.user.Groups, asGroup(g).group.ID) {
			out = append(out, g)
		}
	}
	return out
}

func (p *person) superuser(r *run) bool {
	return slices.ContainsFunc(p.all(r), func(g *object) bool { return asGroup(g).group.Superuser })
}

// userAttribute finds an attribute of a user (authentik/core/models.py, User).
func (r *run) userAttribute(p *person, name string) starlark.Value {
	u := p.user
	if u == nil {
		if name == "pk" || name == "id" {
			return starlark.None
		}
		u = &core.User{Active: true, Type: core.UserInternal, Path: "users"}
	}
	text := func(s string) starlark.Value { return starlark.String(s) }
	switch name {
	case "pk", "id":
		return starlark.MakeInt64(u.PK)
	case "uuid":
		return text(string(u.ID))
	case "uid":
		return text(r.uid(p))
	case "username":
		return text(u.UserName)
	case "name":
		return text(u.DisplayName)
	case "email":
		return text(u.Email)
	case "email_verified":
		return starlark.Bool(u.EmailVerified)
	case "path":
		return text(u.Path)
	case "type":
		return text(string(u.Type))
	case "is_active":
		return starlark.Bool(u.Active)
	case "is_superuser", "is_staff":
		return starlark.Bool(p.superuser(r))
	case "is_authenticated":
		return starlark.Bool(p.user != nil)
	case "is_anonymous":
		return starlark.Bool(p.user == nil)
	case "last_login":
		return newTime(u.LastLogin)
	case "date_joined":
		return newTime(u.Created)
	case "last_updated":
		return newTime(u.Updated)
	case "password_change_date":
		return newTime(u.PasswordChanged)
	case "attributes":
		r.alloc(weight(u.Attributes) / 4)
		return r.fromGo(orEmpty(u.Attributes), 0)
	case "ak_groups", "groups":
		return r.manager("Group", func() []*object { return p.direct(r) })
	case "avatar":
		if s, ok := u.Attributes["avatar"].(string); ok && strings.Contains(s, "://") {
			return text(s)
		}
		return text("")
	}
	return r.userMethod(p, u, name)
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

func (r *run) userMethod(p *person, u *core.User, name string) starlark.Value {
	call := func(fn func(a *args) starlark.Value) starlark.Value {
		return &builtin{name: name, fn: func(_ *run, a *args) starlark.Value { return fn(a) }}
	}
	switch name {
	case "all_groups":
		return call(func(a *args) starlark.Value {
			a.none()
			return &query{kind: "Group", items: p.all(r)}
		})
	case "group_attributes":
		return call(func(a *args) starlark.Value {
			first := map[string]any{}
			if q, ok := a.bind(0, "request")[0].(*object); ok && q.kind == "HttpRequest" && r.env.Request != nil && r.env.Request.Tenant != nil {
				attributes := r.env.Request.Look(r.ctx).Brand.Attributes
				r.alloc(2 * weight(attributes))
				Merge(first, attributes)
			}
			return r.groupAttributes(first, p, u)
		})
	case "app_entitlements":
		return call(func(a *args) starlark.Value {
			return &query{kind: "ApplicationEntitlement", items: r.entitlements(p, a.bind(1, "app")[0])}
		})
	case "app_entitlements_attributes":
		return call(func(a *args) starlark.Value {
			return r.entitlementAttributes(p, a.bind(1, "app")[0])
		})
	case "locale":
		return call(func(a *args) starlark.Value {
			a.bind(0, "request")
			settings, _ := u.Attributes["settings"].(map[string]any)
			locale, _ := settings["locale"].(string)
			return starlark.String(locale)
		})
	case "get_full_name":
		return call(func(a *args) starlark.Value {
			a.none()
			return starlark.String(u.DisplayName)
		})
	case "check_password", "set_password", "save", "delete":
		fail("%s() is not available: expressions read users, and no more", name)
	}
	return nil
}

// groupAttributes merges into what comes first the attributes of all groups in the order of
// their folded names, and the user's own last.
func (r *run) groupAttributes(merged map[string]any, p *person, u *core.User) starlark.Value {
	groups := slices.Clone(p.all(r))
	for _, g := range groups {
		if t := asGroup(g); t.folded == "" {
			r.charge(600)
			t.folded = core.Fold(t.group.Name)
		}
	}
	r.charge(10 * len(groups))
	slices.SortStableFunc(groups, func(a, b *object) int {
		return strings.Compare(asGroup(a).folded, asGroup(b).folded)
	})
	for _, g := range groups {
		r.alloc(2 * weight(asGroup(g).group.Attributes))
		Merge(merged, asGroup(g).group.Attributes)
	}
	r.alloc(2 * weight(u.Attributes))
	Merge(merged, u.Attributes)
	v := r.fromGo(merged, 0)
	thaw(v)
	return v
}

// thaw makes a value that nobody else has writable.
func thaw(v starlark.Value) {
	switch v := v.(type) {
	case *dict:
		v.frozen = false
		for _, e := range v.entries {
			thaw(e.value)
		}
	case *list:
		v.frozen = false
		for _, x := range v.items {
			thaw(x)
		}
	}
}

// uid is the hashed user ID.
func (r *run) uid(p *person) string {
	switch {
	case p.user == nil:
		return ""
	case r.env.User != nil && p.user.ID == r.env.User.ID && r.env.HashedUserID != "":
		return r.env.HashedUserID
	case r.HashUser != nil:
		return r.HashUser(r.tenant, p.user)
	}
	fail("uid is known only of the user that the expression is about")
	return ""
}
