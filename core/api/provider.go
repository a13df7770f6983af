package api

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-sso/postern/core"
)

// What providers of every kind share.

// baseOf is what all kinds have.
func baseOf(p core.Provider) *core.ProviderBase {
	switch p := p.(type) {
	case *core.Client:
		return &p.ProviderBase
	case *core.ProxyProvider:
		return &p.ProviderBase
	}
	return &core.ProviderBase{ID: p.ProviderID()}
}

// providerID reads a provider's number out of a path.
func providerID(key string) (core.ProviderID, error) {
	n, err := strconv.ParseInt(key, 10, 32)
	if err != nil || n < 1 {
		return 0, core.ErrNotFound
	}
	return core.ProviderID(n), nil
}

// findProvider finds one of the kind T.
func findProvider[T core.Provider](c *call, key string) (T, error) {
	var none T
	id, err := providerID(key)
	if err != nil {
		return none, err
	}
	p, err := c.Store.Provider(c.ctx(), c.t, id)
	if err != nil {
		return none, err
	}
	if v, ok := p.(T); ok {
		return v, nil
	}
	return none, core.ErrNotFound
}

// readProvider reads the fields that all kinds share.
func readProvider(f *fields, b *core.ProviderBase) {
	text(f, "name", rule{required: true, max: 1000}, &b.Name)
	flow(f, "authentication_flow", rule{null: true}, &b.AuthenticationFlow)
	flow(f, "authorization_flow", rule{required: true}, &b.AuthorizationFlow)
	flow(f, "invalidation_flow", rule{required: true}, &b.InvalidationFlow)
	references(f, "property_mappings", &b.Mappings)
}

// checkProvider checks what they refer to.
func checkProvider(c *call, f *fields, b *core.ProviderBase) error {
	checkFlow(c, f, "authentication_flow", b.AuthenticationFlow, "authentication")
	checkFlow(c, f, "authorization_flow", b.AuthorizationFlow, "authorization")
	checkFlow(c, f, "invalidation_flow", b.InvalidationFlow, "invalidation")
	if !f.has("property_mappings") || len(f.errs["property_mappings"]) > 0 || len(b.Mappings) == 0 {
		return nil
	}
	there, err := c.Store.Mappings(c.ctx(), c.t, b.Mappings)
	if err != nil {
		return err
	}
	for _, id := range b.Mappings {
		i := slices.IndexFunc(there, func(m core.PropertyMapping) bool { return m.ID == id })
		if i < 0 {
			f.fail("property_mappings", noPK(string(id)))
		} else if there[i].Kind != core.MappingScope {
			f.fail("property_mappings", fmt.Sprintf("The mapping %q is one for %s; this provider takes scope mappings.", there[i].Name, strings.ToUpper(string(there[i].Kind))))
		}
	}
	return nil
}

// checkFederation checks the two lists of whose tokens a provider takes beside its own.
func checkFederation(c *call, f *fields, sources []string, providers []core.ProviderID) error {
	if f.has("jwt_federation_sources") {
		for _, id := range sources {
			f.fail("jwt_federation_sources", noPK(id)) // there are no sources yet
		}
	}
	if !f.has("jwt_federation_providers") {
		return nil
	}
	for _, id := range providers {
		p, err := c.Store.Provider(c.ctx(), c.t, id)
		if _, isClient := p.(*core.Client); errors.Is(err, core.ErrNotFound) || err == nil && !isClient {
			f.fail("jwt_federation_providers", noPK(strconv.FormatInt(int64(id), 10)))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// checkKeyPair checks that a key pair exists, and has a private key where it must.
func checkKeyPair(c *call, f *fields, name string, id core.KeyPairID, private bool) error {
	if id == "" || !f.has(name) || len(f.errs[name]) > 0 {
		return nil
	}
	k, err := c.Store.KeyPair(c.ctx(), c.t, id)
	if errors.Is(err, core.ErrNotFound) {
		f.fail(name, noPK(string(id)))
		return nil
	}
	if err != nil {
		return err
	}
	if private && k.PrivateKey == "" {
		f.fail(name, fmt.Sprintf("The key pair %q has no private key, so that nothing can be signed with it.", k.Name))
	}
	return nil
}

// providerShape is what showProvider shows.
func providerShape() shape {
	s := objectShape("Provider",
		always("pk", integerShape()), always("name", textShape()), always("authentication_flow", uuidShape().orNull()),
		always("authorization_flow", uuidShape()), always("invalidation_flow", uuidShape()), always("property_mappings", listShape(uuidShape())))
	for _, name := range []string{
		"assigned_application_slug", "assigned_application_name", "assigned_backchannel_application_slug", "assigned_backchannel_application_name",
	} {
		s.members = append(s.members, always(name, textShape().orNull()))
	}
	s.members = append(s.members, kindMembers()...)
	return s
}

// kindMembers are how a kind of object is called.
func kindMembers() []member {
	return texts("component", "verbose_name", "verbose_name_plural", "meta_model_name")
}

// kindOf is how a provider's kind is called.
func kindOf(p core.Provider) (component, verbose, model string) {
	if _, ok := p.(*core.ProxyProvider); ok {
		return "ak-provider-proxy-form", "Proxy Provider", "authentik_providers_proxy.proxyprovider"
	}
	return "ak-provider-oauth2-form", "OAuth2/OpenID Provider", "authentik_providers_oauth2.oauth2provider"
}

// viewOf is the right to see a provider.
func viewOf(p core.Provider) core.Permission {
	_, _, model := kindOf(p)
	app, name, _ := strings.Cut(model, ".")
	return right("view", app, name)
}

// showProvider is what an answer has of providers of every kind.
func showProvider(c *call, p core.Provider) (object, error) {
	b := baseOf(p)
	component, verbose, model := kindOf(p)
	out := object{
		"pk": int64(b.ID), "name": b.Name,
		"authentication_flow": orNull(b.AuthenticationFlow),
		"authorization_flow":  b.AuthorizationFlow,
		"invalidation_flow":   b.InvalidationFlow,
		"property_mappings":   list(b.Mappings),
		"component":           component,
		"verbose_name":        verbose, "verbose_name_plural": verbose + "s", "meta_model_name": model,
		"assigned_application_slug": nil, "assigned_application_name": nil,
		"assigned_backchannel_application_slug": nil, "assigned_backchannel_application_name": nil,
	}
	app, err := c.assignedTo(b.ID)
	if errors.Is(err, core.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	out["assigned_application_slug"], out["assigned_application_name"] = app.Slug, app.Name
	return out, nil
}

func providerListing() listing {
	return listing{
		filters: map[string]filter{"application__isnull": byBool, "backchannel": byBool},
		order:   []string{"name"},
	}
}

// listProviders lists those of all kinds, by number.
func listProviders(c *call) (reply, error) {
	q, p, err := c.query()
	if err != nil {
		return reply{}, err
	}
	if slices.Contains(q.Where["backchannel"], "true") {
		return envelope(p, 0, nil) // none of the kinds there are
	}
	rows, err := allProviders(c, q.Search)
	if err != nil {
		return reply{}, err
	}
	slices.SortFunc(rows, func(a, b core.Provider) int {
		x, y := baseOf(a), baseOf(b)
		switch {
		case slices.Contains(q.Order, "name"):
			return strings.Compare(core.Fold(x.Name), core.Fold(y.Name))
		case slices.Contains(q.Order, "-name"):
			return strings.Compare(core.Fold(y.Name), core.Fold(x.Name))
		}
		return int(x.ID - y.ID)
	})
	if err := c.gatherAssigned(of(rows, func(p *core.Provider) []core.ProviderID { return []core.ProviderID{(*p).ProviderID()} })); err != nil {
		return reply{}, err
	}
	var results []any
	for _, row := range rows {
		out, err := showProvider(c, row)
		if err != nil {
			return reply{}, err
		}
		if want := q.Where["application__isnull"]; len(want) > 0 && strconv.FormatBool(out["assigned_application_slug"] == nil) != want[0] {
			continue
		}
		results = append(results, out)
	}
	return envelope(p, len(results), cut(results, p))
}

func allProviders(c *call, search string) ([]core.Provider, error) {
	q := Query{Search: search}
	clients, err := every(q, func(q Query) ([]core.Client, int, error) { return c.Store.ListClients(c.ctx(), c.t, q) })
	if err != nil {
		return nil, err
	}
	proxies, err := every(q, func(q Query) ([]core.ProxyProvider, int, error) {
		return c.Store.ListProxyProviders(c.ctx(), c.t, q)
	})
	if err != nil {
		return nil, err
	}
	var out []core.Provider
	for i := range clients {
		out = append(out, &clients[i])
	}
	for i := range proxies {
		out = append(out, &proxies[i])
	}
	return out, nil
}

func retrieveProvider(c *call) (reply, error) {
	p, err := findProvider[core.Provider](c, c.key)
	if err != nil {
		return reply{}, found(err, "Provider")
	}
	out, err := showProvider(c, p)
	if err != nil {
		return reply{}, err
	}
	return ok(out)
}

func deleteProvider(c *call) (reply, error) {
	p, err := findProvider[core.Provider](c, c.key)
	if err != nil {
		return reply{}, found(err, "Provider")
	}
	if err := c.Store.DeleteProvider(c.ctx(), c.t, p.ProviderID()); err != nil {
		return reply{}, found(err, "Provider")
	}
	_, _, model := kindOf(p)
	app, name, _ := strings.Cut(model, ".")
	c.record(core.EventModelDeleted, app, name, c.key, baseOf(p).Name)
	return done()
}
