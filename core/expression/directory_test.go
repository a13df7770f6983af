package expression_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// directory is a small strict Directory: what a query names must exist in it.
type directory struct {
	tenant core.TenantID
	users  []core.User
	groups []core.Group
	calls  atomic.Int64
	err    error
}

func (d *directory) call(t core.TenantID) error {
	d.calls.Add(1)
	if d.err != nil {
		return d.err
	}
	if t != d.tenant {
		return fmt.Errorf("tenant %s: %w", t, core.ErrNotFound)
	}
	return nil
}

func (d *directory) User(_ context.Context, t core.TenantID, id core.UserID) (*core.User, error) {
	if err := d.call(t); err != nil {
		return nil, err
	}
	for i := range d.users {
		if d.users[i].ID == id {
			return &d.users[i], nil
		}
	}
	return nil, core.ErrNotFound
}

func (d *directory) UserByName(ctx context.Context, t core.TenantID, name string) (*core.User, error) {
	return d.UserByLogin(ctx, t, name)
}

func (d *directory) UserByLogin(_ context.Context, t core.TenantID, name string) (*core.User, error) {
	if err := d.call(t); err != nil {
		return nil, err
	}
	for i := range d.users {
		if core.Fold(d.users[i].UserName) == core.Fold(name) {
			return &d.users[i], nil
		}
	}
	return nil, core.ErrNotFound
}

func (d *directory) UserGroups(_ context.Context, t core.TenantID, id core.UserID) ([]core.Group, error) {
	if err := d.call(t); err != nil {
		return nil, err
	}
	var want []core.GroupID
	for i := range d.users {
		if d.users[i].ID == id {
			want = slices.Clone(d.users[i].Groups)
		}
	}
	var out []core.Group
	for i := 0; i < len(want); i++ {
		for _, g := range d.groups {
			if g.ID == want[i] {
				out = append(out, g)
				for _, p := range g.Parents {
					if !slices.Contains(want, p) {
						want = append(want, p)
					}
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b core.Group) int { return strings.Compare(core.Fold(a.Name), core.Fold(b.Name)) })
	return out, nil
}

func (d *directory) FindUsers(_ context.Context, t core.TenantID, where map[string]any, limit int) ([]core.User, error) {
	if err := d.call(t); err != nil {
		return nil, err
	}
	var out []core.User
	for _, u := range d.users {
		fits := true
		for k, v := range where {
			switch k {
			case "username":
				fits = fits && u.UserName == v
			case "username__iexact":
				fits = fits && core.Fold(u.UserName) == core.Fold(fmt.Sprint(v))
			case "email":
				fits = fits && u.Email == v
			case "pk":
				fits = fits && u.PK == v
			default:
				return nil, fmt.Errorf("unknown lookup %s", k)
			}
		}
		if fits && len(out) < limit {
			out = append(out, u)
		}
	}
	return out, nil
}

func (d *directory) GroupMembers(_ context.Context, t core.TenantID, id core.GroupID, limit int) ([]core.User, error) {
	if err := d.call(t); err != nil {
		return nil, err
	}
	var out []core.User
	for _, u := range d.users {
		if slices.Contains(u.Groups, id) && len(out) < limit {
			out = append(out, u)
		}
	}
	return out, nil
}

func (d *directory) Group(_ context.Context, t core.TenantID, id core.GroupID) (*core.Group, error) {
	if err := d.call(t); err != nil {
		return nil, err
	}
	for i := range d.groups {
		if d.groups[i].ID == id {
			return &d.groups[i], nil
		}
	}
	return nil, core.ErrNotFound
}

// people is a directory with a bit of everything: jo is in "Minio users" and, by its
// parent, in "Staff"; ada is in "Minio admins".
func people() *directory {
	return &directory{
		tenant: "public",
		groups: []core.Group{
			{ID: "g1", PK: 1, Name: "Minio users", Parents: []core.GroupID{"g3"}, Attributes: map[string]any{"aws_role": "users", "list": []any{"u"}, "deep": map[string]any{"a": "users", "b": float64(1)}}},
			{ID: "g2", PK: 2, Name: "Minio admins", Superuser: true, Attributes: map[string]any{"aws_role": "admins"}},
			{ID: "g3", PK: 3, Name: "Staff", Attributes: map[string]any{"aws_role": "staff", "list": []any{"s", "u"}, "deep": map[string]any{"a": "staff"}}},
			{ID: "g4", PK: 4, Name: "alpha", Attributes: map[string]any{"aws_role": "alpha", "none": nil}},
		},
		users: []core.User{
			{ID: "u1", PK: 1, UserName: "jo", DisplayName: "Jo Doe Smith", Email: "jo@example.test", EmailVerified: true, Active: true, Type: core.UserInternal, Path: "users", Groups: []core.GroupID{"g1"}, Attributes: map[string]any{"upn": "jo@corp", "settings": map[string]any{"locale": "de"}, "list": []any{"own"}, "n": float64(5)}},
			{ID: "u2", PK: 2, UserName: "ada", DisplayName: "Ada", Email: "ada@example.test", Active: true, Type: core.UserInternal, Path: "users", Groups: []core.GroupID{"g2"}},
			{ID: "u3", PK: 3, UserName: "stranger", DisplayName: "", Active: true, Type: core.UserExternal, Path: "users"},
		},
	}
}

func (d *directory) env(t *testing.T, name string) expression.Env {
	t.Helper()
	if name == "" {
		return expression.Env{}
	}
	u, err := d.UserByName(t.Context(), d.tenant, name)
	if err != nil {
		t.Fatal(err)
	}
	g, err := d.UserGroups(t.Context(), d.tenant, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return expression.Env{User: u, Groups: g, HashedUserID: "hash-of-" + name}
}

type m = map[string]any
type l = []any

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
