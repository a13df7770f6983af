package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/core/media"
)

// tenantry is what an operator does with tenants, over the admin API or offline.
type tenantry struct {
	system *system
}

// tenantInfo is a tenant as an operator sees one.
type tenantInfo struct {
	SchemaName string   `json:"schema_name"`
	Name       string   `json:"name"`
	Ready      bool     `json:"ready"`
	Domains    []string `json:"domains"`           // the primary one first
	Origins    []string `json:"origins,omitempty"` // of a list only: where its pages are, as the configuration has it
	Link       string   `json:"link,omitempty"`    // of recovery-key only
}

// tenantInput is what an action is told.
type tenantInput struct {
	SchemaName string   `json:"schema_name"`
	Name       string   `json:"name,omitempty"`
	Domains    []string `json:"domains,omitempty"`
	Primary    bool     `json:"primary,omitempty"`
	UserName   string   `json:"username,omitempty"`
	Days       int      `json:"days,omitempty"` // how long a recovery link is valid
}

func (t *tenantry) actions() map[string]action {
	return map[string]action{
		"tenants/list":          func(ctx context.Context, _ []byte) (any, error) { return t.list(ctx) },
		"tenants/create":        taking(t.create),
		"tenants/delete":        taking(t.delete),
		"tenants/add-domain":    taking(t.addDomains),
		"tenants/remove-domain": taking(t.removeDomains),
		"tenants/recovery-key":  taking(t.recoveryKey),
	}
}

func (t *tenantry) store() api.Store { return t.system.shared.db }

func (t *tenantry) list(ctx context.Context) ([]tenantInfo, error) {
	domains, err := t.domains(ctx, "")
	if err != nil {
		return nil, err
	}
	of := map[core.TenantID][]core.Domain{}
	for i := range domains {
		of[domains[i].Tenant] = append(of[domains[i].Tenant], domains[i])
	}
	out := []tenantInfo{}
	for {
		page, total, err := t.store().ListTenants(ctx, api.Query{Order: []string{"schema_name"}, Offset: len(out), Limit: 500})
		if err != nil {
			return nil, err
		}
		for i := range page {
			info := describe(&page[i], of[page[i].ID])
			if page[i].ID == core.DefaultTenant && t.system.settings.origin != "" {
				info.Origins = append(info.Origins, t.system.settings.origin)
			}
			for _, host := range info.Domains {
				info.Origins = append(info.Origins, t.system.sites.tenantOrigin(host, t.system.settings.origin))
			}
			out = append(out, *info)
		}
		if len(page) == 0 || len(out) >= total {
			return out, nil
		}
	}
}

func (t *tenantry) show(ctx context.Context, tenant *core.Tenant) (*tenantInfo, error) {
	all, err := t.domains(ctx, tenant.ID)
	if err != nil {
		return nil, err
	}
	return describe(tenant, all), nil
}

func describe(tenant *core.Tenant, domains []core.Domain) *tenantInfo {
	out := &tenantInfo{SchemaName: string(tenant.ID), Name: tenant.Name, Ready: tenant.Ready, Domains: []string{}}
	for i := range domains {
		if domains[i].Primary {
			out.Domains = slices.Insert(out.Domains, 0, domains[i].Name)
		} else {
			out.Domains = append(out.Domains, domains[i].Name)
		}
	}
	return out
}

// domains lists those of a tenant; empty: of all.
func (t *tenantry) domains(ctx context.Context, id core.TenantID) ([]core.Domain, error) {
	q := api.Query{Order: []string{"id"}, Limit: 500}
	if id != "" {
		q.Where = map[string][]string{"tenant__schema_name": {string(id)}}
	}
	var out []core.Domain
	for {
		q.Offset = len(out)
		page, total, err := t.store().ListDomains(ctx, q)
		if err != nil {
			return nil, err
		}
		out = append(out, page...)
		if len(page) == 0 || len(out) >= total {
			return out, nil
		}
	}
}

// find takes a tenant that is not ready, too.
func (t *tenantry) find(ctx context.Context, schema string) (*core.Tenant, error) {
	page, _, err := t.store().ListTenants(ctx, api.Query{Where: map[string][]string{"schema_name": {schema}}, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(page) == 0 {
		return nil, noTenant(schema)
	}
	return &page[0], nil
}

// create makes a tenant with its domains, or nothing.
func (t *tenantry) create(ctx context.Context, in tenantInput) (*tenantInfo, error) {
	if in.Name == "" {
		in.Name = in.SchemaName
	}
	if err := checkText("name", &in.Name, 1, 1000); err != nil {
		return nil, err
	}
	if err := media.Vacant(ctx, t.system.media.Store, core.TenantID(in.SchemaName)); err != nil {
		return nil, err
	}
	tenant, err := t.store().CreateTenant(ctx, core.TenantID(in.SchemaName), in.Name)
	if err != nil {
		return nil, err
	}
	if err := t.add(ctx, tenant.ID, in.Domains, false); err != nil {
		return nil, errors.Join(err, t.store().DeleteTenant(context.WithoutCancel(ctx), tenant.ID, tenant.UUID))
	}
	return t.show(ctx, tenant)
}

func (t *tenantry) delete(ctx context.Context, in tenantInput) (*tenantInfo, error) {
	tenant, err := t.find(ctx, in.SchemaName)
	if err != nil {
		return nil, err
	}
	was, err := t.show(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if err := t.store().DeleteTenant(ctx, tenant.ID, tenant.UUID); err != nil {
		return nil, err
	}
	return was, media.Vacate(ctx, t.system.media.Store, tenant.ID)
}

func (t *tenantry) addDomains(ctx context.Context, in tenantInput) (*tenantInfo, error) {
	tenant, err := t.find(ctx, in.SchemaName)
	if err != nil {
		return nil, err
	}
	if err := t.add(ctx, tenant.ID, in.Domains, in.Primary); err != nil {
		return nil, err
	}
	return t.show(ctx, tenant)
}

// add gives a tenant domains; with primary, the first of them becomes the one that links lead to.
func (t *tenantry) add(ctx context.Context, id core.TenantID, domains []string, primary bool) error {
	for i, name := range domains {
		if err := t.store().CreateDomain(ctx, &core.Domain{Name: name, Tenant: id, Primary: primary && i == 0}); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nil
}

func (t *tenantry) removeDomains(ctx context.Context, in tenantInput) (*tenantInfo, error) {
	tenant, err := t.find(ctx, in.SchemaName)
	if err != nil {
		return nil, err
	}
	all, err := t.domains(ctx, tenant.ID)
	if err != nil {
		return nil, err
	}
	var ids []int64
	for _, name := range in.Domains { // before anything is removed
		host, _, err := core.NormalizeHost(name)
		i := slices.IndexFunc(all, func(d core.Domain) bool { return err == nil && d.Name == host })
		if i < 0 {
			return nil, &core.FieldError{Field: "domain", Message: fmt.Sprintf("%s has no domain %q.", tenant.ID, name), Err: core.ErrNotFound}
		}
		ids = append(ids, all[i].ID)
	}
	for _, id := range ids {
		if err := t.store().DeleteDomain(ctx, id); err != nil {
			return nil, err
		}
	}
	return t.show(ctx, tenant)
}

// recoveryKey makes a link that logs a user of a tenant in, once.
func (t *tenantry) recoveryKey(ctx context.Context, in tenantInput) (*tenantInfo, error) {
	tenant, err := t.system.named(ctx, in.SchemaName)
	if err != nil {
		return nil, err
	}
	if tenant.Origin == "" {
		return nil, &core.FieldError{Field: "domain", Message: fmt.Sprintf("%s has no domain at which anybody could open the link: `caddy postern tenant domain add %[1]s <domain>` gives it one; the default tenant has `origin` in the configuration.", tenant.ID)}
	}
	if in.UserName == "" {
		in.UserName = login.SetupUser
	}
	if in.Days == 0 {
		in.Days = 1
	}
	if in.Days < 0 || in.Days > 3650 {
		return nil, &core.FieldError{Field: "days", Message: "A link is valid for 1 to 3650 days."}
	}
	u, err := t.store().UserByName(ctx, tenant.ID, in.UserName)
	if errors.Is(err, core.ErrNotFound) {
		return nil, fmt.Errorf("%s has no user %q: %w", tenant.ID, in.UserName, err)
	}
	if err != nil {
		return nil, err
	}
	link, err := t.system.pages.RecoveryLink(ctx, tenant, u.ID, time.Duration(in.Days)*24*time.Hour)
	if err != nil {
		return nil, fmt.Errorf("make the link: %w", err)
	}
	out, err := t.show(ctx, tenant)
	if err != nil {
		return nil, err
	}
	out.Link = link
	return out, nil
}

func noTenant(schema string) error {
	return &core.FieldError{Field: "tenant", Message: fmt.Sprintf("There is no tenant %q: `caddy postern tenant list` shows their schema names.", schema), Err: core.ErrNotFound}
}
