package storagetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

func userListTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"list/filters":       listFilters,
		"list/order":         listOrder,
		"list/pages":         listPages,
		"list/search":        listSearch,
		"list/search random": listSearchRandom,
		"list/refused":       listRefused,
		"find users":         findUsers,
		"find users/errors":  findUsersErrors,
	}
}

// people fills a directory for the tests of lists.
func people(b *bench) {
	adm, err := b.UserByName(b.ctx, b.t, "akadmin")
	b.ok(err)
	b.ok(b.DeleteUser(b.ctx, b.t, adm.PK))
	admins := b.group("admins")
	b.ok(second(b.UpdateGroup(b.ctx, b.t, admins.ID, func(g *core.Group) ([]int64, error) { g.Superuser = true; return nil, nil })))
	ops := b.group("ops", admins.ID)
	dev := b.group("dev")
	for _, u := range []core.User{
		{UserName: "Anna", DisplayName: "Anna Ärmel", Email: "anna@x.test", Active: true, Type: core.UserInternal, Path: "users", Groups: []core.GroupID{ops.ID},
			Attributes: map[string]any{"dept": "ops", "level": int64(3), "tags": []any{"a", "b"}}},
		{UserName: "bert", DisplayName: "Bert 100%", Email: "bert@x.test", Active: false, Type: core.UserExternal, Path: "users/ext", Groups: []core.GroupID{dev.ID},
			Attributes: map[string]any{"dept": "dev", "level": 3.5}},
		{UserName: "Čeněk", DisplayName: "anna_b", Email: "", Active: true, Type: core.UserServiceAccount, Path: "Users/x", Groups: []core.GroupID{dev.ID, admins.ID}},
		{UserName: "dora", DisplayName: "DORA", Email: "Dora@X.test", Active: true, Type: core.UserInternal, Path: "users", LastLogin: b.clock.Now()},
	} {
		b.ok(b.CreateUser(b.ctx, b.t, &u))
		b.clock.Add(time.Minute)
	}
}

func (b *bench) list(q api.Query) string {
	b.Helper()
	us, n, err := b.ListUsers(b.ctx, b.t, q)
	b.ok(err)
	var names []string
	for _, u := range us {
		names = append(names, u.UserName)
	}
	return fmt.Sprintf("%s of %d", strings.Join(names, " "), n)
}

func listFilters(b *bench) {
	people(b)
	anna, err := b.UserByName(b.ctx, b.t, "anna")
	b.ok(err)
	gs, _, err := b.ListGroups(b.ctx, b.t, api.Query{Where: map[string][]string{"name": {"dev"}}})
	b.ok(err)
	start := NewClock().Now()
	// Ordered by code point after folding: a, b, d, č.
	for _, c := range []struct {
		key  string
		vals []string
		want string
	}{
		{"username", []string{"ANNA"}, "Anna of 1"},
		{"username", []string{"anna", "DORA", "nobody"}, "Anna dora of 2"},
		{"username", []string{"anna%"}, " of 0"},
		{"email", []string{"dora@x.test"}, "dora of 1"},
		{"name", []string{"DORA"}, "dora of 1"},
		{"name", []string{"dora"}, " of 0"},
		{"is_active", []string{"true"}, "Anna dora Čeněk of 3"},
		{"is_active", []string{"False"}, "bert of 1"},
		{"is_superuser", []string{"true"}, "Anna Čeněk of 2"}, // one of them through a parent
		{"is_superuser", []string{"false"}, "bert dora of 2"},
		{"type", []string{"internal", "external"}, "Anna bert dora of 3"},
		{"path", []string{"users"}, "Anna dora of 2"},
		{"path_startswith", []string{"users"}, "Anna bert dora of 3"},
		{"path_startswith", []string{"us_rs"}, " of 0"},
		{"uuid", []string{string(anna.ID)}, "Anna of 1"},
		{"uuid", []string{"' OR 1=1 --"}, " of 0"},
		{"username", []string{"a\x00", "dora", "\xff"}, "dora of 1"},
		{"username", []string{"\xff"}, " of 0"},
		{"username", nil, " of 0"},
		{"pk", []string{fmt.Sprint(anna.PK)}, "Anna of 1"},
		{"groups_by_name", []string{"dev"}, "bert Čeněk of 2"},
		{"groups_by_name", []string{"dev", "ops"}, "Anna bert Čeněk of 3"},
		{"groups_by_pk", []string{string(gs[0].ID)}, "bert Čeněk of 2"},
		{"attributes", []string{`{"dept":"ops"}`}, "Anna of 1"},
		{"attributes", []string{`{"dept": "ops", "level": 3.0}`}, "Anna of 1"},
		{"attributes", []string{`{"dept":"ops","level":4}`}, " of 0"},
		{"attributes", []string{`{"tags":["a","b"]}`}, "Anna of 1"},
		{"attributes", []string{`{"level":3.5}`}, "bert of 1"},
		{"attributes", []string{`{"level":"3"}`}, " of 0"},
		{"attributes", []string{`{}`}, "Anna bert dora Čeněk of 4"},
		{"last_login__isnull", []string{"false"}, "dora of 1"},
		{"date_joined__gt", []string{start.Add(time.Minute).Format(time.RFC3339)}, "dora Čeněk of 2"},
		{"date_joined__lt", []string{start.Add(time.Minute).Format(time.RFC3339)}, "Anna of 1"},
	} {
		got := b.list(api.Query{Where: map[string][]string{c.key: c.vals}, Order: []string{"username"}})
		equal(b, fmt.Sprintf("%s %q", c.key, c.vals), got, c.want)
	}
	equal(b, "two filters", b.list(api.Query{Where: map[string][]string{"is_active": {"true"}, "groups_by_name": {"dev"}}}), "Čeněk of 1")
}

func listOrder(b *bench) {
	people(b)
	for order, want := range map[string]string{
		"username":         "Anna bert dora Čeněk of 4",
		"-username":        "Čeněk dora bert Anna of 4",
		"name":             "Anna Čeněk bert dora of 4", // "anna ärmel", "anna_b"
		"pk":               "Anna bert Čeněk dora of 4",
		"-pk":              "dora Čeněk bert Anna of 4",
		"email,-username":  "Čeněk Anna bert dora of 4",
		"is_active,-pk":    "bert dora Čeněk Anna of 4",
		"-last_login,name": "dora Anna Čeněk bert of 4",
		"date_joined":      "Anna bert Čeněk dora of 4",
	} {
		equal(b, order, b.list(api.Query{Order: strings.Split(order, ",")}), want)
	}
}

func listPages(b *bench) {
	people(b)
	seen := ""
	for page := range 4 {
		got := b.list(api.Query{Order: []string{"is_active"}, Offset: page, Limit: 1})
		if !strings.HasSuffix(got, " of 4") {
			b.Errorf("page %d: %s", page, got)
		}
		seen += strings.TrimSuffix(got, " of 4") + " "
	}
	equal(b, "one at a time", seen, "bert Anna Čeněk dora ")
	equal(b, "past the end", b.list(api.Query{Offset: 10, Limit: 5}), " of 4")
	equal(b, "past the end of a search", b.list(api.Query{Search: "anna", Where: map[string][]string{"is_active": {"true"}}, Offset: 10}), " of 2")
	equal(b, "no limit", b.list(api.Query{}), "Anna bert Čeněk dora of 4")
}

func listSearch(b *bench) {
	people(b)
	for search, want := range map[string]string{
		"anna":        "Anna Čeněk of 2",
		"ANNA  ÄRMEL": "Anna of 1",
		"x.test":      "Anna bert dora of 3",
		"%":           "bert of 1",
		"_":           "Čeněk of 1",
		"!":           " of 0",
		"an\x00na":    " of 0",
		"an\xffna":    " of 0",
		"ČENĚK":       "Čeněk of 1",
		"":            "Anna bert Čeněk dora of 4",
		"anna nobody": " of 0",
	} {
		equal(b, search, b.list(api.Query{Search: search, Order: []string{"pk"}}), want)
	}
}

func listRefused(b *bench) {
	for field, q := range map[string]api.Query{
		"password_hash": {Where: map[string][]string{"password_hash": {"x"}}},
		"1=1 OR u.pk":   {Where: map[string][]string{"1=1 OR u.pk": {"x"}}},
		"pk__isnull":    {Where: map[string][]string{"pk__isnull": {"true"}}},
		"is_active":     {Where: map[string][]string{"is_active": {"perhaps"}}},
		"pk":            {Where: map[string][]string{"pk": {"one"}}},
		"attributes":    {Where: map[string][]string{"attributes": {"[1]"}}},
		"date_joined":   {Where: map[string][]string{"date_joined": {"yesterday"}}},
		"ordering":      {Order: []string{"password_hash"}},
		"search":        {Search: strings.Repeat("a ", 50)},
		"uuid":          {Where: map[string][]string{"uuid": make([]string, 1000)}},
	} {
		_, _, err := b.ListUsers(b.ctx, b.t, q)
		b.field(err, field)
	}
	_, _, err := b.ListUsers(b.ctx, b.t, api.Query{Order: []string{"pk; DROP TABLE users"}})
	b.field(err, "ordering")
}

func findUsers(b *bench) {
	people(b)
	anna, err := b.UserByName(b.ctx, b.t, "anna")
	b.ok(err)
	find := func(where map[string]any, limit int) string {
		us, err := b.FindUsers(b.ctx, b.t, where, limit)
		b.ok(err)
		var names []string
		for _, u := range us {
			names = append(names, u.UserName)
		}
		return strings.Join(names, " ")
	}
	for _, c := range []struct {
		key   string
		value any
		want  string
	}{
		{"pk", anna.PK, "Anna"},
		{"pk", int(anna.PK), "Anna"},
		{"uuid", string(anna.ID), "Anna"},
		{"username", "Anna", "Anna"},
		{"username", "anna", ""},
		{"username__exact", "Anna", "Anna"},
		{"username__iexact", "ANNA", "Anna"},
		{"username__startswith", "An", "Anna"},
		{"username__startswith", "an", ""},
		{"username__startswith", "_n", ""},
		{"username__contains", "nn", "Anna"},
		{"username__contains", "n\xff", ""},
		{"username__contains", "NN", ""},
		{"username__contains", "", "Anna bert Čeněk dora"},
		{"username__icontains", "NN", "Anna"},
		{"name__icontains", "%", "bert"},
		{"email", "Dora@X.test", "dora"},
		{"email__iexact", "dora@x.TEST", "dora"},
		{"name", "DORA", "dora"},
		{"is_active", false, "bert"},
		{"type", "external", "bert"},
		{"path__startswith", "users", "Anna bert dora"},
		{"path__iexact", "USERS", "Anna dora"},
	} {
		equal(b, fmt.Sprint(c.key, " ", c.value), find(map[string]any{c.key: c.value}, 10), c.want)
	}
	equal(b, "two", find(map[string]any{"path": "users", "is_active": true, "username__icontains": "o"}, 10), "dora")
	equal(b, "at most one", find(map[string]any{"is_active": true}, 1), "Anna")
	equal(b, "all", find(nil, 10), "Anna bert Čeněk dora")
	equal(b, "none", find(nil, 0), "")
}

func findUsersErrors(b *bench) {
	for _, where := range []map[string]any{
		{"password": "x"}, {"username__regex": "x"}, {"username": int64(1)}, {"pk": "1"}, {"is_active": "true"}, {"attributes": "{}"}, {"groups__name": "x"},
	} {
		if _, err := b.FindUsers(b.ctx, b.t, where, 10); err == nil {
			b.Errorf("%v: no error", where)
		}
	}
}
