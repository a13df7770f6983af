package policy_test

import (
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/policy"
)

func TestDecide(t *testing.T) {
	active, gone := &core.User{ID: "u", Active: true}, &core.User{ID: "u"}
	staff := []core.Group{{Name: "people"}, {Name: "staff"}}
	open, closed := &core.Application{}, &core.Application{AllowGroups: []string{"admins", "staff"}}
	for _, c := range []struct {
		name   string
		app    *core.Application
		user   *core.User
		groups []core.Group
		want   bool
		why    string
	}{
		{"no rule", open, active, nil, true, "no rule"},
		{"in a group that is named", closed, active, staff, true, `"staff"`},
		{"in none", closed, active, staff[:1], false, "admins"},
		{"in no group at all", closed, active, nil, false, "none of the groups"},
		{"a group's name in another case", closed, active, []core.Group{{Name: "Staff"}}, false, "none of the groups"},
		{"not active", open, gone, nil, false, "not active"},
		{"not active, though in the group", closed, gone, staff, false, "not active"},
		{"nobody", open, nil, staff, false, "not active"},
	} {
		d := policy.Engine{}.Decide(t.Context(), "public", c.app, c.user, c.groups)
		if d.Allowed != c.want || !strings.Contains(strings.Join(d.Trace, "\n"), c.why) {
			t.Errorf("%s: %+v", c.name, d)
		}
		if (d.ID == "") != d.Allowed {
			t.Errorf("%s: a denial has an ID, and nothing else does: %+v", c.name, d)
		}
	}
}
