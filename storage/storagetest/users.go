package storagetest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

func userTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"user/round trip":                userRoundTrip,
		"user/name is unique after fold": userNameUnique,
		"user/change":                    userChange,
		"user/change refused":            userChangeRefused,
		"user/e-mail change unverifies":  userEmailUnverified,
		"user/login by name or e-mail":   userByLogin,
		"user/pk is never reused":        userPKNotReused,
		"user/groups":                    userGroups,
		"user/delete takes all along":    userDeleteTakesAll,
		"user/deactivation ends logins":  userDeactivated,
		"user/odd text":                  userOddText,
		"user/seeded administrator":      userSeeded,
	}
}

func userRoundTrip(b *bench) {
	g := b.group("staff")
	u := &core.User{UserName: "Ünal", DisplayName: "Ünal Ö", Email: "U@Example.com", EmailVerified: true, Active: true,
		Type: core.UserExternal, Path: "users/eu", Groups: []core.GroupID{g.ID}, LastLogin: b.clock.Now(),
		Attributes: map[string]any{"n": int64(9007199254740993), "f": 1.5, "list": []any{"a", true, nil}, "o": map[string]any{"k": "v"}}}
	b.ok(b.CreateUser(b.ctx, b.t, u))
	if u.ID == "" || u.PK == 0 || !u.Created.Equal(b.clock.Now()) || !u.Updated.Equal(u.Created) {
		b.Errorf("create set ID %q, PK %d, created %v, updated %v", u.ID, u.PK, u.Created, u.Updated)
	}
	for how, find := range map[string]func() (*core.User, error){
		"ID":   func() (*core.User, error) { return b.User(b.ctx, b.t, u.ID) },
		"PK":   func() (*core.User, error) { return b.UserByPK(b.ctx, b.t, u.PK) },
		"name": func() (*core.User, error) { return b.UserByName(b.ctx, b.t, " ÜNAL ") },
	} {
		got, err := find()
		b.ok(err)
		if !reflect.DeepEqual(got, u) {
			b.Errorf("by %s:\n got %#v\nwant %#v", how, got, u)
		}
	}
	for _, err := range []error{
		second(b.User(b.ctx, b.t, "none")), second(b.UserByPK(b.ctx, b.t, 999)), second(b.UserByName(b.ctx, b.t, "none")),
		second(b.UserByLogin(b.ctx, b.t, "none")), second(b.UserGroups(b.ctx, b.t, "none")),
		b.DeleteUser(b.ctx, b.t, 999), second(b.UpdateUser(b.ctx, b.t, 999, func(*core.User) error { return nil })),
	} {
		b.is(err, core.ErrNotFound)
	}
}

// second is the error of a call with two results.
func second[T any](_ T, err error) error { return err }

func userNameUnique(b *bench) {
	b.user("alice")
	for _, name := range []string{"alice", "ALICE", " Alice ", "\uff41lice"} {
		err := b.CreateUser(b.ctx, b.t, &core.User{UserName: name})
		b.field(err, "username")
		b.is(err, core.ErrExists)
	}
	bob := b.user("bob")
	_, err := b.UpdateUser(b.ctx, b.t, bob.PK, func(u *core.User) error { u.UserName = "AliCe"; return nil })
	b.field(err, "username")
	b.is(err, core.ErrExists)
}

func userChange(b *bench) {
	u := b.user("alice")
	b.clock.Add(time.Minute)
	got, err := b.UpdateUser(b.ctx, b.t, u.PK, func(v *core.User) error {
		v.UserName, v.DisplayName, v.Path, v.Type = "alicia", "Alicia", "elsewhere", core.UserServiceAccount
		v.Attributes = map[string]any{"k": "v"}
		v.ID, v.PK, v.Created = "forged", 77, time.Time{} // not the caller's to choose
		return nil
	})
	b.ok(err)
	stored, err := b.User(b.ctx, b.t, u.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, stored) {
		b.Errorf("returned %#v\nstored %#v", got, stored)
	}
	if stored.UserName != "alicia" || stored.PK != u.PK || !stored.Created.Equal(u.Created) || !stored.Updated.Equal(b.clock.Now()) {
		b.Errorf("stored %#v", stored)
	}
	b.is(second(b.UserByName(b.ctx, b.t, "alice")), core.ErrNotFound)
}

func userChangeRefused(b *bench) {
	u := b.user("alice")
	no := errors.New("no")
	_, err := b.UpdateUser(b.ctx, b.t, u.PK, func(v *core.User) error { v.UserName = "other"; return no })
	if err != no { //nolint:errorlint // the promise is the very same error
		b.Errorf("error %v, want the caller's own", err)
	}
	_, err = b.UpdateUser(b.ctx, b.t, u.PK, func(v *core.User) error {
		v.DisplayName, v.Groups = "half", []core.GroupID{"no such group"}
		return nil
	})
	b.field(err, "groups")
	got, err := b.User(b.ctx, b.t, u.ID)
	b.ok(err)
	equal(b, "name after two refused changes", got.UserName+"/"+got.DisplayName, "alice/alice of Test")
	b.field(b.CreateUser(b.ctx, b.t, &core.User{UserName: "x", Groups: []core.GroupID{"none"}}), "groups")
	b.is(second(b.UserByName(b.ctx, b.t, "x")), core.ErrNotFound)
}

func userEmailUnverified(b *bench) {
	u := b.user("alice")
	set := func(email string, verified bool) bool {
		got, err := b.UpdateUser(b.ctx, b.t, u.PK, func(v *core.User) error { v.Email, v.EmailVerified = email, verified; return nil })
		b.ok(err)
		return got.EmailVerified
	}
	equal(b, "verified", set(u.Email, true), true)
	equal(b, "verified in another case", set(strings.ToUpper(u.Email), true), true)
	equal(b, "verified after a change", set("new@example.com", true), false)
}

func userByLogin(b *bench) {
	a, c := b.user("alice"), b.user("carol")
	set := func(u *core.User, email string) {
		b.ok(second(b.UpdateUser(b.ctx, b.t, u.PK, func(v *core.User) error { v.Email = email; return nil })))
	}
	find := func(login string) string {
		u, err := b.UserByLogin(b.ctx, b.t, login)
		if errors.Is(err, core.ErrNotFound) {
			return ""
		}
		b.ok(err)
		return u.UserName
	}
	equal(b, "by name", find(" ALICE"), "alice")
	equal(b, "by e-mail", find("Alice@Example.COM "), "alice")
	set(c, "alice@example.com")
	equal(b, "by an address of two", find("alice@example.com"), "")
	set(c, "alice")
	equal(b, "a name against another's address", find("alice"), "alice")
	set(a, "")
	set(c, "")
	equal(b, "empty", find(""), "")
	equal(b, "blank", find("  "), "")
	equal(b, "a NUL", find("alice\x00"), "")
	equal(b, "not UTF-8", find("alice\xff"), "")
	equal(b, "a wildcard", find("al%"), "")
}

func userPKNotReused(b *bench) {
	u := b.user("alice")
	b.ok(b.DeleteUser(b.ctx, b.t, u.PK))
	again := b.user("alice")
	if again.PK <= u.PK || again.ID == u.ID {
		b.Errorf("deleted %d %s, made anew %d %s", u.PK, u.ID, again.PK, again.ID)
	}
	g := b.group("g")
	b.ok(b.DeleteGroup(b.ctx, b.t, g.ID))
	if g2 := b.group("g"); g2.PK <= g.PK {
		b.Errorf("group: deleted %d, made anew %d", g.PK, g2.PK)
	}
	c := b.client("c")
	b.ok(b.DeleteProvider(b.ctx, b.t, c.ID))
	p := &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: "p"}}
	b.ok(b.CreateProxyProvider(b.ctx, b.t, p))
	if p.ID <= c.ID {
		b.Errorf("provider: deleted %d, made anew %d", c.ID, p.ID)
	}
}

func userGroups(b *bench) {
	top := b.group("Zeta")
	mid := b.group("alpha", top.ID)
	other := b.group("Beta", top.ID)
	u := b.user("alice", mid.ID, other.ID)
	names := func() string {
		gs, err := b.UserGroups(b.ctx, b.t, u.ID)
		b.ok(err)
		var out []string
		for _, g := range gs {
			out = append(out, g.Name)
		}
		return strings.Join(out, " ")
	}
	equal(b, "each once, by folded name", names(), "alpha Beta Zeta")
	b.ok(second(b.UpdateUser(b.ctx, b.t, u.PK, func(v *core.User) error { v.Groups = nil; return nil })))
	equal(b, "none", names(), "")
	b.ok(b.AddMember(b.ctx, b.t, other.ID, u.PK))
	b.ok(b.AddMember(b.ctx, b.t, other.ID, u.PK))
	equal(b, "added twice", names(), "Beta Zeta")
	b.ok(b.RemoveMember(b.ctx, b.t, other.ID, u.PK))
	b.ok(b.RemoveMember(b.ctx, b.t, other.ID, u.PK))
	equal(b, "removed twice", names(), "")
	b.is(b.AddMember(b.ctx, b.t, "none", u.PK), core.ErrNotFound)
	b.is(b.AddMember(b.ctx, b.t, other.ID, 999), core.ErrNotFound)
	b.is(b.RemoveMember(b.ctx, b.t, "none", u.PK), core.ErrNotFound)
}

func userDeleteTakesAll(b *bench) {
	u, other := b.user("alice"), b.user("bob")
	g := b.group("g")
	b.ok(b.AddMember(b.ctx, b.t, g.ID, u.PK))
	c := b.client("c")
	grant, kept := b.grant(u.ID, c), b.grant(other.ID, c)
	code, refresh := b.code(grant, "code"), b.refresh(grant, "refresh")
	key, child, keptKey := b.session(u.ID, "s1", ""), b.session(u.ID, "s2", "s1"), b.session(other.ID, "s3", "")
	secret := b.token(u.ID, "t")
	b.ok(b.SaveConsent(b.ctx, b.t, consent(b, u.ID, "c")))
	link := saveLink(b, u.ID, "l")
	b.ok(b.DeleteUser(b.ctx, b.t, u.PK))
	for what, err := range map[string]error{
		"user": second(b.User(b.ctx, b.t, u.ID)), "grant": second(b.Grant(b.ctx, b.t, grant.ID)), "code": b.ConsumeCode(b.ctx, b.t, code, nil),
		"refresh": third(b.Refresh(b.ctx, b.t, refresh)), "session": second(b.FindSession(b.ctx, b.t, key)),
		"child": second(b.FindSession(b.ctx, b.t, child)), "token": second(b.TokenByKey(b.ctx, b.t, core.Hash(string(secret)))),
		"consent": second(b.Consent(b.ctx, b.t, u.ID, "c")), "link": second(b.Link(b.ctx, b.t, link)),
		"hash": second(b.PasswordHash(b.ctx, b.t, u.ID)),
	} {
		if !errors.Is(err, core.ErrNotFound) {
			b.Errorf("%s of a deleted user: %v", what, err)
		}
	}
	members, err := b.GroupMembers(b.ctx, b.t, g.ID, 10)
	b.ok(err)
	equal(b, "members", len(members), 0)
	b.ok(second(b.Grant(b.ctx, b.t, kept.ID)))
	b.ok(second(b.FindSession(b.ctx, b.t, keptKey)))
	// Nothing can be given to who is gone.
	grant.ID = "late"
	b.is(b.SaveGrant(b.ctx, b.t, grant), core.ErrNotFound)
	b.is(b.SaveSession(b.ctx, b.t, core.Hash("late"), &core.Session{ID: "late", User: u.ID, Expires: b.clock.Now().Add(time.Hour)}), core.ErrNotFound)
	b.is(second(b.FindSession(b.ctx, b.t, core.Hash("late"))), core.ErrNotFound)
	b.is(b.SaveConsent(b.ctx, b.t, consent(b, u.ID, "c")), core.ErrNotFound)
	b.field(b.CreateToken(b.ctx, b.t, &core.Token{Identifier: "late", User: u.ID}, "k"), "user")
}

func userDeactivated(b *bench) {
	u := b.user("alice")
	c := b.client("c")
	grant := b.grant(u.ID, c)
	refresh := b.refresh(grant, "refresh")
	key := b.session(u.ID, "s1", "")
	seq, err := b.LastChange(b.ctx, b.t)
	b.ok(err)
	b.ok(second(b.UpdateUser(b.ctx, b.t, u.PK, func(v *core.User) error { v.DisplayName = "still active"; return nil })))
	b.ok(second(b.FindSession(b.ctx, b.t, key)))
	b.ok(second(b.UpdateUser(b.ctx, b.t, u.PK, func(v *core.User) error { v.Active = false; return nil })))
	b.is(second(b.FindSession(b.ctx, b.t, key)), core.ErrNotFound)
	b.is(second(b.Grant(b.ctx, b.t, grant.ID)), core.ErrNotFound)
	b.is(third(b.Refresh(b.ctx, b.t, refresh)), core.ErrNotFound)
	grant.ID = "late"
	b.is(b.SaveGrant(b.ctx, b.t, grant), core.ErrDenied)
	b.is(b.SaveSession(b.ctx, b.t, core.Hash("late"), &core.Session{ID: "late", User: u.ID, Expires: b.clock.Now().Add(time.Hour)}), core.ErrDenied)
	b.is(second(b.FindSession(b.ctx, b.t, core.Hash("late"))), core.ErrNotFound)
	changes := b.changes(seq)
	for _, want := range []string{"user " + string(u.ID) + " update", "session s1 delete", "grant "} {
		if !strings.Contains(changes, want) {
			b.Errorf("changes %q lack %q", changes, want)
		}
	}
	// Activated again, nothing comes back.
	b.ok(second(b.UpdateUser(b.ctx, b.t, u.PK, func(v *core.User) error { v.Active = true; return nil })))
	b.is(second(b.FindSession(b.ctx, b.t, key)), core.ErrNotFound)
}

func userOddText(b *bench) {
	for i, s := range []string{`a'b"; DROP TABLE users; --`, "100%_!", "日本語 ﬁ", strings.Repeat("x", 150), "$1", `\`} {
		u := &core.User{UserName: s, DisplayName: s, Email: s, Path: s, Attributes: map[string]any{s: s}}
		b.ok(b.CreateUser(b.ctx, b.t, u))
		got, err := b.UserByName(b.ctx, b.t, s)
		b.ok(err)
		if got.UserName != s || got.Attributes[s] != s {
			b.Errorf("%d: got %q, %v", i, got.UserName, got.Attributes)
		}
	}
	for _, s := range []string{"nul\x00", "latin\xe9"} {
		err := b.CreateUser(b.ctx, b.t, &core.User{UserName: s})
		var fe *core.FieldError
		if !errors.As(err, &fe) {
			b.Errorf("%q: %v, want a refusal", s, err)
		}
	}
	big := map[string]any{"k": strings.Repeat("x", 2<<20)}
	b.field(b.CreateUser(b.ctx, b.t, &core.User{UserName: "big", Attributes: big}), "attributes")
}

func userSeeded(b *bench) {
	u, err := b.UserByName(b.ctx, b.t, "akadmin")
	b.ok(err)
	equal(b, "administrator", fmt.Sprint(u.Email, u.DisplayName, u.Active, u.Type, u.Path),
		fmt.Sprint("root@example.com", "authentik Default Admin", true, core.UserInternal, "users"))
	hash, err := b.PasswordHash(b.ctx, b.t, u.ID)
	b.ok(err)
	equal(b, "password hash", hash, "")
	gs, err := b.UserGroups(b.ctx, b.t, u.ID)
	b.ok(err)
	equal(b, "groups", len(gs), 1)
	equal(b, "superuser", core.IsSuperuser(gs), true)
	equal(b, "group", gs[0].Name, "authentik Admins")
}
