package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/login"
)

// people is what an operator does with users, over the admin API or offline.
type people struct {
	store  api.Store
	pages  *login.Handler
	tenant *core.Tenant
}

// person is a user as an operator sees one.
type person struct {
	UserName  string     `json:"username"`
	Name      string     `json:"name"`
	Email     string     `json:"email"`
	Active    bool       `json:"active"`
	Groups    []string   `json:"groups"`
	LastLogin *time.Time `json:"last_login,omitempty"`
	Link      string     `json:"link,omitempty"` // of recovery-link only
}

// personInput is what an action is told.
type personInput struct {
	UserName string   `json:"username"`
	Name     string   `json:"name,omitempty"`
	Email    string   `json:"email,omitempty"`
	Groups   []string `json:"groups,omitempty"`
	Password string   `json:"password,omitempty"`
	Hours    int      `json:"hours,omitempty"` // how long a link is valid
}

type action func(context.Context, personInput) (*person, error)

func (p *people) actions() map[string]action {
	return map[string]action{
		"create":       p.create,
		"set-password": p.setPassword,
		"add-to-group": func(ctx context.Context, in personInput) (*person, error) {
			return p.groups(ctx, in, p.store.AddMember)
		},
		"remove-from-group": func(ctx context.Context, in personInput) (*person, error) {
			return p.groups(ctx, in, p.store.RemoveMember)
		},
		"activate":      func(ctx context.Context, in personInput) (*person, error) { return p.active(ctx, in, true) },
		"deactivate":    func(ctx context.Context, in personInput) (*person, error) { return p.active(ctx, in, false) },
		"recovery-link": p.recoveryLink,
	}
}

func (p *people) list(ctx context.Context) ([]person, error) {
	out := []person{}
	for {
		page, total, err := p.store.ListUsers(ctx, p.tenant.ID, api.Query{Order: []string{"username"}, Offset: len(out), Limit: 500})
		if err != nil {
			return nil, fmt.Errorf("list users: %w", err)
		}
		for i := range page {
			one, err := p.show(ctx, &page[i])
			if err != nil {
				return nil, err
			}
			out = append(out, *one)
		}
		if len(page) == 0 || len(out) >= total {
			return out, nil
		}
	}
}

func (p *people) show(ctx context.Context, u *core.User) (*person, error) {
	groups, err := p.store.UserGroups(ctx, p.tenant.ID, u.ID)
	if err != nil {
		return nil, fmt.Errorf("find groups: %w", err)
	}
	out := &person{UserName: u.UserName, Name: u.DisplayName, Email: u.Email, Active: u.Active, Groups: []string{}}
	for i := range groups {
		out.Groups = append(out.Groups, groups[i].Name)
	}
	if !u.LastLogin.IsZero() {
		out.LastLogin = &u.LastLogin
	}
	return out, nil
}

func (p *people) find(ctx context.Context, name string) (*core.User, error) {
	if strings.TrimSpace(name) == "" {
		return nil, &core.FieldError{Field: "username", Message: "Say whom: a user name."}
	}
	u, err := p.store.UserByName(ctx, p.tenant.ID, name)
	if errors.Is(err, core.ErrNotFound) {
		return nil, fmt.Errorf("there is no user %q: %w", name, err)
	}
	return u, err
}

func (p *people) create(ctx context.Context, in personInput) (*person, error) {
	if strings.TrimSpace(in.UserName) == "" || strings.ContainsFunc(in.UserName, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, &core.FieldError{Field: "username", Message: "Say a user name, without control characters."}
	}
	ids, err := p.groupIDs(ctx, in.Groups) // before anything is made
	if err != nil {
		return nil, err
	}
	u := &core.User{UserName: in.UserName, DisplayName: in.Name, Email: in.Email, Active: true, Type: core.UserInternal, Path: "users"}
	if err := p.store.CreateUser(ctx, p.tenant.ID, u); err != nil {
		return nil, fmt.Errorf("create user: %w", err)
	}
	for _, id := range ids {
		if err := p.store.AddMember(ctx, p.tenant.ID, id, u.PK); err != nil {
			return nil, fmt.Errorf("the user was made, but not added to a group: %w", err)
		}
	}
	if in.Password != "" {
		if err := p.pages.SetPassword(ctx, p.tenant.ID, u, in.Password, ""); err != nil {
			return nil, fmt.Errorf("the user was made, but without a password: %w", err)
		}
	}
	return p.show(ctx, u)
}

func (p *people) setPassword(ctx context.Context, in personInput) (*person, error) {
	u, err := p.find(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	if err := p.pages.SetPassword(ctx, p.tenant.ID, u, in.Password, ""); err != nil {
		return nil, err
	}
	return p.show(ctx, u)
}

func (p *people) groups(ctx context.Context, in personInput, change func(context.Context, core.TenantID, core.GroupID, int64) error) (*person, error) {
	u, err := p.find(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	if len(in.Groups) == 0 {
		return nil, &core.FieldError{Field: "groups", Message: "Say at least one group."}
	}
	ids, err := p.groupIDs(ctx, in.Groups)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := change(ctx, p.tenant.ID, id, u.PK); err != nil && !errors.Is(err, core.ErrExists) {
			return nil, fmt.Errorf("change membership: %w", err)
		}
	}
	return p.show(ctx, u)
}

// groupIDs finds groups by name. Unknown ones are an error that lists those there are.
func (p *people) groupIDs(ctx context.Context, names []string) ([]core.GroupID, error) {
	var ids []core.GroupID
	for _, name := range names {
		page, _, err := p.store.ListGroups(ctx, p.tenant.ID, api.Query{Where: map[string][]string{"name": {name}}, Limit: 1})
		if err != nil {
			return nil, fmt.Errorf("find group: %w", err)
		}
		if len(page) == 0 {
			return nil, &core.FieldError{Field: "groups", Message: fmt.Sprintf("There is no group %q.", name), Err: core.ErrNotFound}
		}
		if !slices.Contains(ids, page[0].ID) {
			ids = append(ids, page[0].ID)
		}
	}
	return ids, nil
}

func (p *people) active(ctx context.Context, in personInput, on bool) (*person, error) {
	u, err := p.find(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	u, err = p.store.UpdateUser(ctx, p.tenant.ID, u.PK, func(u *core.User) error {
		u.Active = on
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("change user: %w", err)
	}
	if !on {
		if err := p.pages.Sessions.EndUser(ctx, p.tenant.ID, u.ID, ""); err != nil {
			return nil, fmt.Errorf("the user is deactivated, but sessions were not ended: %w", err)
		}
	}
	return p.show(ctx, u)
}

func (p *people) recoveryLink(ctx context.Context, in personInput) (*person, error) {
	u, err := p.find(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	if p.tenant.Origin == "" {
		return nil, &core.FieldError{Field: "origin", Message: "Set `origin` in the configuration: without it nobody knows where the link leads."}
	}
	if in.Hours == 0 {
		in.Hours = 1
	}
	if in.Hours < 0 || in.Hours > 24*30 {
		return nil, &core.FieldError{Field: "hours", Message: "A link is valid for 1 to 720 hours."}
	}
	link, err := p.pages.RecoveryLink(ctx, p.tenant, u.ID, time.Duration(in.Hours)*time.Hour)
	if err != nil {
		return nil, fmt.Errorf("make the link: %w", err)
	}
	out, err := p.show(ctx, u)
	if err != nil {
		return nil, err
	}
	out.Link = link
	return out, nil
}
