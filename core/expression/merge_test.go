package expression_test

import (
	"reflect"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		name           string
		dst, src, want map[string]any
	}{
		{"new key", m{"a": 1}, m{"b": 2}, m{"a": 1, "b": 2}},
		{"later scalar wins", m{"a": 1}, m{"a": 2}, m{"a": 2}},
		{"dicts merge", m{"a": m{"x": 1, "y": m{"z": 1}}}, m{"a": m{"y": m{"w": 2}}}, m{"a": m{"x": 1, "y": m{"z": 1, "w": 2}}}},
		{"lists append with duplicates", m{"a": l{1, 2}}, m{"a": l{2, 3}}, m{"a": l{1, 2, 2, 3}}},
		{"list then None", m{"a": l{"x"}}, m{"a": nil}, m{"a": nil}},
		{"None then list", m{"a": nil}, m{"a": l{"x"}}, m{"a": l{"x"}}},
		{"scalar then list", m{"a": "a"}, m{"a": l{"b"}}, m{"a": l{"b"}}},
		{"dict then scalar", m{"a": m{"x": 1}}, m{"a": 1}, m{"a": 1}},
		{"scalar then dict", m{"a": 1}, m{"a": m{"x": 1}}, m{"a": m{"x": 1}}},
		{"nothing", m{}, nil, m{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			expression.Merge(c.dst, c.src)
			if !reflect.DeepEqual(c.dst, c.want) {
				t.Errorf("got %v, want %v", c.dst, c.want)
			}
		})
	}
}

// What Merge takes from src stays src's own: a later merge does not write into it.
func TestMergeCopies(t *testing.T) {
	first := m{"l": l{"a"}, "d": m{"x": l{1}}}
	dst := m{}
	expression.Merge(dst, first)
	expression.Merge(dst, m{"l": l{"b"}, "d": m{"x": l{2}, "y": 1}})
	dst["d"].(m)["z"] = 1
	if want := (m{"l": l{"a"}, "d": m{"x": l{1}}}); !reflect.DeepEqual(first, want) {
		t.Errorf("the first source became %v", first)
	}
}

// Groups merge in the order of their folded names, whatever order they come in, and
// the user's own attributes win.
func TestGroupAttributesOrder(t *testing.T) {
	group := func(id, name, role string) core.Group {
		return core.Group{ID: core.GroupID(id), Name: name, Attributes: m{"role": role, "all": l{role}}}
	}
	// Byte order would put "Zeta" and "Ömega" elsewhere: "Alpha", "Zeta", "beta", "Ömega".
	groups := []core.Group{group("3", "Zeta", "z"), group("1", "beta", "b"), group("2", "Alpha", "a"), group("4", "ÄRGER", "ä"), group("5", "ärgeR2", "ä2")}
	e := &expression.Evaluator{}
	u := &core.User{ID: "u", UserName: "x"}
	got, err := e.Eval(t.Context(), "public", "return user.group_attributes()", expression.Env{User: u, Groups: groups})
	if want := (m{"role": "ä2", "all": l{"a", "b", "z", "ä", "ä2"}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
	u.Attributes = m{"role": "own"}
	got, err = e.Eval(t.Context(), "public", "return user.group_attributes()['role']", expression.Env{User: u, Groups: groups})
	if err != nil || got != "own" {
		t.Errorf("got %v (%v), want the user's own", got, err)
	}
}
