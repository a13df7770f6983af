package api

import (
	"strconv"

	"github.com/postern-sso/postern/core"
)

// What the rows of a page refer to, in as many statements for many rows as for few.

func (c *call) group(id core.GroupID) (*core.Group, error) {
	return c.looked.groups.one(id, func() (*core.Group, error) { return c.Store.Group(c.ctx(), c.t, id) })
}

func (c *call) role(id core.RoleID) (*core.Role, error) {
	return c.looked.roles.one(id, func() (*core.Role, error) { return c.Store.Role(c.ctx(), c.t, id) })
}

func (c *call) userOf(id core.UserID) (*core.User, error) {
	return c.looked.users.one(id, func() (*core.User, error) { return c.Store.User(c.ctx(), c.t, id) })
}

func (c *call) policyOf(id core.PolicyID) (*core.ExpressionPolicy, error) {
	return c.looked.policies.one(id, func() (*core.ExpressionPolicy, error) { return c.Store.Policy(c.ctx(), c.t, id) })
}

func (c *call) provider(id core.ProviderID) (core.Provider, error) {
	p, err := c.looked.providers.one(id, func() (*core.Provider, error) {
		p, err := c.Store.Provider(c.ctx(), c.t, id)
		return &p, err
	})
	if err != nil {
		return nil, err
	}
	return *p, nil
}

// assignedTo is the application of a provider.
func (c *call) assignedTo(id core.ProviderID) (*core.Application, error) {
	return c.looked.assigned.one(id, func() (*core.Application, error) { return c.Store.ApplicationByProvider(c.ctx(), c.t, id) })
}

// bound counts the bindings of a policy.
func (c *call) bound(id core.PolicyID) (int, error) {
	n, err := c.looked.bound.one(id, func() (*int, error) {
		_, n, err := c.Store.ListBindings(c.ctx(), c.t, Query{Where: map[string][]string{"policy": {string(id)}}, Limit: 1})
		return &n, err
	})
	if err != nil {
		return 0, err
	}
	return *n, nil
}

// gatherAncestors looks up groups with all above them, a level at a time.
func (c *call) gatherAncestors(ids []core.GroupID) error {
	for len(ids) > 0 {
		if err := c.gatherGroups(ids); err != nil {
			return err
		}
		var above []core.GroupID
		for _, id := range ids {
			if g := c.looked.groups[id]; g != nil {
				for _, p := range g.Parents {
					if _, met := c.looked.groups[p]; !met {
						above = append(above, p)
					}
				}
			}
		}
		ids = above
	}
	return nil
}

func (c *call) gatherGroups(ids []core.GroupID) error {
	return c.looked.groups.together(ids, "pk", func(id core.GroupID) string { return string(id) },
		func(g *core.Group) core.GroupID { return g.ID },
		func(q Query) ([]core.Group, int, error) { return c.Store.ListGroups(c.ctx(), c.t, q) })
}

func (c *call) gatherRoles(ids []core.RoleID) error {
	if !c.may("authentik_rbac.view_role") {
		return nil
	}
	return c.looked.roles.together(ids, "pk", func(id core.RoleID) string { return string(id) },
		func(r *core.Role) core.RoleID { return r.ID },
		func(q Query) ([]core.Role, int, error) { return c.Store.ListRoles(c.ctx(), c.t, q) })
}

func (c *call) gatherPeople(ids []core.UserID) error {
	return c.looked.users.together(ids, "uuid", func(id core.UserID) string { return string(id) },
		func(u *core.User) core.UserID { return u.ID },
		func(q Query) ([]core.User, int, error) { return c.Store.ListUsers(c.ctx(), c.t, q) })
}

// gatherUsers looks up what showUser shows of each.
func gatherUsers(c *call, rows []core.User) error {
	if err := c.gatherAncestors(of(rows, func(u *core.User) []core.GroupID { return u.Groups })); err != nil {
		return err
	}
	if !c.wants("include_roles", true) {
		return nil
	}
	return c.gatherRoles(of(rows, func(u *core.User) []core.RoleID { return u.Roles }))
}

func gatherTokens(c *call, rows []tokenRow) error {
	ids := of(rows, func(t *tokenRow) []core.UserID { return []core.UserID{t.User} })
	if err := c.gatherPeople(ids); err != nil {
		return err
	}
	var owners []core.User
	for _, id := range ids {
		if u := c.looked.users[id]; u != nil {
			owners = append(owners, *u)
		}
	}
	return gatherUsers(c, owners)
}

// gatherInGroups looks up what showGroup shows of each: the direct members and the groups
// next below, of one alone too.
func gatherInGroups(c *call, rows []groupRow) error {
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = string(rows[i].ID)
	}
	members, err := those("groups_by_pk", ids, func(q Query) ([]core.User, int, error) {
		q.Order = []string{"pk"}
		return c.Store.ListUsers(c.ctx(), c.t, q)
	})
	if err != nil {
		return err
	}
	c.looked.members = map[core.GroupID][]core.User{}
	for _, u := range members {
		for _, id := range u.Groups {
			c.looked.members[id] = append(c.looked.members[id], u)
		}
	}
	children, err := those("parents", ids, func(q Query) ([]core.Group, int, error) {
		q.Order = []string{"name"}
		return c.Store.ListGroups(c.ctx(), c.t, q)
	})
	if err != nil {
		return err
	}
	c.looked.children = map[core.GroupID][]core.Group{}
	for _, g := range children {
		for _, id := range g.Parents {
			c.looked.children[id] = append(c.looked.children[id], g)
		}
	}
	parents := of(rows, func(g *groupRow) []core.GroupID { return g.Parents })
	roles := of(rows, func(g *groupRow) []core.RoleID { return g.Roles })
	if !c.wants("include_inherited_roles", false) {
		err = c.gatherGroups(parents)
	} else if err = c.gatherAncestors(parents); err == nil {
		for _, g := range c.looked.groups {
			if g != nil {
				roles = append(roles, g.Roles...)
			}
		}
	}
	if err != nil {
		return err
	}
	return c.gatherRoles(roles)
}

// gatherAssigned looks up the applications of providers.
func (c *call) gatherAssigned(ids []core.ProviderID) error {
	return c.looked.assigned.together(ids, "provider", providerKey, func(a *core.Application) core.ProviderID { return a.Provider },
		func(q Query) ([]core.Application, int, error) { return c.Store.ListApplications(c.ctx(), c.t, q) })
}

// gatherApplications looks up their providers.
func gatherApplications(c *call, rows []core.Application) error {
	var keys []string
	for i := range rows {
		if id := rows[i].Provider; id != 0 {
			c.looked.assigned.keep(id, &rows[i])
			c.looked.providers.keep(id, nil)
			keys = append(keys, providerKey(id))
		}
	}
	clients, err := those("pk", keys, func(q Query) ([]core.Client, int, error) { return c.Store.ListClients(c.ctx(), c.t, q) })
	if err != nil {
		return err
	}
	proxies, err := those("pk", keys, func(q Query) ([]core.ProxyProvider, int, error) { return c.Store.ListProxyProviders(c.ctx(), c.t, q) })
	if err != nil {
		return err
	}
	for i := range clients {
		var p core.Provider = &clients[i]
		c.looked.providers.keep(clients[i].ID, &p)
	}
	for i := range proxies {
		var p core.Provider = &proxies[i]
		c.looked.providers.keep(proxies[i].ID, &p)
	}
	return nil
}

func providerKey(id core.ProviderID) string { return strconv.FormatInt(int64(id), 10) }

// gatherPolicies counts their bindings.
func gatherPolicies(c *call, rows []core.ExpressionPolicy) error {
	keys := make([]string, len(rows))
	for i := range rows {
		keys[i] = string(rows[i].ID)
		c.looked.bound.keep(rows[i].ID, new(int))
	}
	bindings, err := those("policy", keys, c.listBindings)
	for i := range bindings {
		*c.looked.bound[bindings[i].Policy]++
	}
	return err
}

// gatherBound looks up what is bound.
func gatherBound(c *call, rows []bindingRow) error {
	err := c.gatherGroups(of(rows, func(b *bindingRow) []core.GroupID { return []core.GroupID{b.Group} }))
	if err != nil {
		return err
	}
	if err := c.gatherPeople(of(rows, func(b *bindingRow) []core.UserID { return []core.UserID{b.User} })); err != nil {
		return err
	}
	ids := of(rows, func(b *bindingRow) []core.PolicyID { return []core.PolicyID{b.Policy} })
	err = c.looked.policies.together(ids, "pk", func(id core.PolicyID) string { return string(id) },
		func(p *core.ExpressionPolicy) core.PolicyID { return p.ID },
		func(q Query) ([]core.ExpressionPolicy, int, error) { return c.Store.ListPolicies(c.ctx(), c.t, q) })
	if err != nil {
		return err
	}
	var policies []core.ExpressionPolicy
	for _, p := range c.looked.policies {
		if p != nil {
			policies = append(policies, *p)
		}
	}
	return gatherPolicies(c, policies)
}
