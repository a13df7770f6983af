package caddymodule

import (
	"context"
	"fmt"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// group is a group as an operator sees one.
type group struct {
	Name      string `json:"name"`
	Superuser bool   `json:"superuser"`
	Members   int    `json:"members"` // direct ones
}

// groupInput is what making a group is told.
type groupInput struct {
	Name      string `json:"name"`
	Superuser bool   `json:"superuser,omitempty"` // its members administer everything
}

func (p *people) listGroups(ctx context.Context) ([]group, error) {
	out := []group{}
	for {
		page, total, err := p.store.ListGroups(ctx, p.tenant.ID, api.Query{Order: []string{"name"}, Offset: len(out), Limit: 500})
		if err != nil {
			return nil, fmt.Errorf("list groups: %w", err)
		}
		for i := range page {
			_, members, err := p.store.ListUsers(ctx, p.tenant.ID, api.Query{
				Where: map[string][]string{"groups_by_pk": {string(page[i].ID)}}, Limit: 1})
			if err != nil {
				return nil, fmt.Errorf("count members: %w", err)
			}
			out = append(out, group{Name: page[i].Name, Superuser: page[i].Superuser, Members: members})
		}
		if len(page) == 0 || len(out) >= total {
			return out, nil
		}
	}
}

func (p *people) createGroup(ctx context.Context, in groupInput) (*group, error) {
	if err := checkText("name", &in.Name, 1, 1000); err != nil {
		return nil, err
	}
	g := &core.Group{Name: in.Name, Superuser: in.Superuser}
	if err := p.store.CreateGroup(ctx, p.tenant.ID, g, nil); err != nil {
		return nil, err // it says what was being done, and the field
	}
	return &group{Name: g.Name, Superuser: g.Superuser}, nil
}
