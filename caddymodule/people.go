package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/core/policy"
)

// people is what an operator does with users and groups, over the admin API or offline.
type people struct {
	store    api.Store
	pages    *login.Handler
	policies *policy.Engine
	tenant   *core.Tenant
}

// person is a user as an operator sees one.
type person struct {
	UserName  string     `json:"username"`
	Name      string     `json:"name"`
	Email     string     `json:"email"`
	Active    bool       `json:"active"`
	Groups    []string   `json:"groups"`
	LastLogin *time.Time `json:"last_login,omitempty"`
	Link      string     `json:"link,omitempty"`  // of recovery-link only
	Token     string     `json:"token,omitempty"` // of api-token only
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

// action does what its JSON says, and gives what is written as JSON.
type action func(ctx context.Context, body []byte) (any, error)

// actions names each one as the admin API does. Those that end in /list change nothing and
// take no JSON.
func (p *people) actions() map[string]action {
	return map[string]action{
		"users/list":         func(ctx context.Context, _ []byte) (any, error) { return p.list(ctx) },
		"users/create":       taking(p.create),
		"users/set-password": taking(p.setPassword),
		"users/add-to-group": taking(func(ctx context.Context, in personInput) (*person, error) {
			return p.groups(ctx, in, p.store.AddMember)
		}),
		"users/remove-from-group": taking(func(ctx context.Context, in personInput) (*person, error) {
			return p.groups(ctx, in, p.store.RemoveMember)
		}),
		"users/activate":      taking(func(ctx context.Context, in personInput) (*person, error) { return p.active(ctx, in, true) }),
		"users/deactivate":    taking(func(ctx context.Context, in personInput) (*person, error) { return p.active(ctx, in, false) }),
		"users/recovery-link": taking(p.recoveryLink),
		"users/api-token":     taking(p.apiToken),
		"groups/list":         func(ctx context.Context, _ []byte) (any, error) { return p.listGroups(ctx) },
		"groups/create":       taking(p.createGroup),
		"decisions/explain":   taking(p.explain),
	}
}

// taking reads an action's JSON. A name that it does not have is an error.
func taking[In, Out any](do func(context.Context, In) (*Out, error)) action {
	return func(ctx context.Context, body []byte) (any, error) {
		var in In
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&in); err != nil {
			return nil, &core.FieldError{Field: "body", Message: "The request is not the JSON that this action takes: " + err.Error()}
		}
		return do(ctx, in)
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
		return nil, core.Absent(fmt.Sprintf("there is no user %q: `caddy postern user list` shows those that there are", name))
	}
	return u, err
}

func (p *people) create(ctx context.Context, in personInput) (*person, error) {
	if err := in.check(); err != nil {
		return nil, err
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

// check holds a new user to the rules of the REST API, which would otherwise refuse to
// save again what was made here.
func (in *personInput) check() error {
	for _, f := range []struct {
		name     string
		into     *string
		min, max int
	}{{"username", &in.UserName, 1, 150}, {"name", &in.Name, 0, 1000}, {"email", &in.Email, 0, 254}} {
		if err := checkText(f.name, f.into, f.min, f.max); err != nil {
			return err
		}
	}
	if in.Email != "" && !isEmail(in.Email) {
		return &core.FieldError{Field: "email", Message: fmt.Sprintf("%q is not an e-mail address: write one such as alice@example.com, or leave it out.", in.Email)}
	}
	return nil
}

// checkText takes space away around a text, and counts its characters.
func checkText(name string, into *string, least, most int) error {
	*into = strings.TrimSpace(*into)
	n := utf8.RuneCountInString(*into)
	switch {
	case n < least || n > most:
		return &core.FieldError{Field: name, Message: fmt.Sprintf("It has %d characters, and may have %d to %d.", n, least, most)}
	case strings.ContainsFunc(*into, unicode.IsControl):
		return &core.FieldError{Field: name, Message: "Control characters are not allowed."}
	}
	return nil
}

// isEmail: one address as RFC 5322 has it, without a display name, and nothing quoted.
func isEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || strings.ContainsAny(s, "\"() ") {
		return false
	}
	_, domain, _ := strings.Cut(s, "@")
	return strings.Trim(domain, ".") == domain
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

// groupIDs finds groups by name.
func (p *people) groupIDs(ctx context.Context, names []string) ([]core.GroupID, error) {
	var ids []core.GroupID
	for _, name := range names {
		page, _, err := p.store.ListGroups(ctx, p.tenant.ID, api.Query{Where: map[string][]string{"name": {name}}, Limit: 1})
		if err != nil {
			return nil, fmt.Errorf("find group: %w", err)
		}
		if len(page) == 0 {
			return nil, &core.FieldError{Field: "groups", Message: fmt.Sprintf("There is no group %q: `caddy postern group create` makes one.", name), Err: core.ErrNotFound}
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
