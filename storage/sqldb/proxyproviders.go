package sqldb

import (
	"context"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const proxyColumns = providerColumns + `, x.mode, x.external_host, x.internal_host, x.cookie_domain, x.skip_path, x.internal_tls_verify,
	coalesce(x.certificate, ''), x.basic_auth, x.basic_auth_user, x.basic_auth_password, x.intercept_header_auth,
	x.access_validity, x.refresh_validity, x.federation_sources, x.federation_providers`

const proxyTables = ` FROM providers p JOIN proxy_providers x ON x.provider_id = p.id`

func scanProxy(s scanner, more ...any) (*core.ProxyProvider, error) {
	var v core.ProxyProvider
	var sources, providers string
	b := providerBase{base: &v.ProviderBase, clientID: &v.ClientID}
	dest := append(b.dest(), &v.Mode, &v.ExternalHost, &v.InternalHost, &v.CookieDomain, &v.SkipPath, &v.InternalTLSVerify,
		&v.Certificate, &v.BasicAuth, &v.BasicAuthUserAttribute, &v.BasicAuthPasswordAttribute, &v.InterceptHeaderAuth,
		&v.AccessValidity, &v.RefreshValidity, &sources, &providers)
	if err := s.Scan(append(dest, more...)...); err != nil {
		return nil, err
	}
	b.done()
	if err := fromJSON(sources, &v.FederationSources); err != nil {
		return nil, err
	}
	return &v, fromJSON(providers, &v.FederationProviders)
}

func (c *conn) proxyProvider(ctx context.Context, where string, arg any) (*core.ProxyProvider, error) {
	v, err := scanProxy(c.row(ctx, `SELECT `+proxyColumns+proxyTables+` WHERE `+where, arg))
	if err != nil {
		return nil, err
	}
	return v, c.mappingsOf(ctx, []*core.ProviderBase{&v.ProviderBase})
}

// proxyProviders reads a list with the mappings; the query's last column is any
// integer.
func (c *conn) proxyProviders(ctx context.Context, query string, args ...any) (out []core.ProxyProvider, total int, err error) {
	err = c.each(ctx, func(s scanner) error {
		v, err := scanProxy(s, &total)
		if err == nil {
			out = append(out, *v)
		}
		return err
	}, query, args...)
	if err != nil {
		return nil, 0, err
	}
	bases := make([]*core.ProviderBase, len(out))
	for i := range out {
		bases[i] = &out[i].ProviderBase
	}
	return out, total, c.mappingsOf(ctx, bases)
}

func proxyFilter(name string) (filter, bool) {
	switch name {
	case "mode", "mode__iexact":
		return lower("x.mode"), true
	case "external_host", "external_host__iexact":
		return lower("x.external_host"), true
	case "internal_host", "internal_host__iexact":
		return lower("x.internal_host"), true
	case "cookie_domain", "cookie_domain__iexact":
		return lower("x.cookie_domain"), true
	case "skip_path_regex", "skip_path_regex__iexact":
		return lower("x.skip_path"), true
	case "internal_host_ssl_validation", "internal_host_ssl_validation__iexact":
		return truth("x.internal_tls_verify"), true
	case "basic_auth_enabled", "basic_auth_enabled__iexact":
		return truth("x.basic_auth"), true
	case "basic_auth_user_attribute", "basic_auth_user_attribute__iexact":
		return lower("x.basic_auth_user"), true
	case "basic_auth_password_attribute", "basic_auth_password_attribute__iexact":
		return lower("x.basic_auth_password"), true
	case "certificate", "certificate__kp_uuid__iexact":
		return lower("x.certificate"), true
	case "certificate__name__iexact":
		return folded(`x.certificate IN (SELECT k.id FROM key_pairs k WHERE k.name_fold`).close(), true
	}
	return providerFilter(name)
}

// ListProxyProviders lists proxy providers: see api.Query.
func (db *DB) ListProxyProviders(ctx context.Context, t core.TenantID, q api.Query) (out []core.ProxyProvider, total int, err error) {
	r := &resource{filter: proxyFilter, order: providerOrder, search: []string{"p.name_fold"}, pk: "p.id"}
	clauses, args, err := r.list(q, "")
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, t, directory, "list proxy providers", func(c *conn) error {
		out, total, err = c.proxyProviders(ctx, `SELECT `+proxyColumns+`, count(*) OVER ()`+proxyTables+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, proxyTables[len(" FROM "):], clauses, args)
		}
		return err
	})
	return out, total, err
}

// ProxyApplications lists the applications that a proxy provider guards, by name.
func (db *DB) ProxyApplications(ctx context.Context, t core.TenantID) (out []core.ProxyApplication, err error) {
	err = db.read(ctx, t, directory, "list proxy applications", func(q *conn) error {
		out = nil
		providers, _, err := q.proxyProviders(ctx, `SELECT `+proxyColumns+`, 0`+proxyTables)
		if err != nil {
			return err
		}
		at := make(map[core.ProviderID]core.ProxyProvider, len(providers))
		for _, p := range providers {
			at[p.ID] = p
		}
		apps, _, err := q.applications(ctx, `SELECT `+applicationColumns+`, 0 FROM applications a
			JOIN proxy_providers x ON x.provider_id = a.provider_id ORDER BY a.name_fold, a.id`)
		for _, a := range apps {
			if p, ok := at[a.Provider]; ok {
				out = append(out, core.ProxyApplication{Application: a, Provider: p})
			}
		}
		return err
	})
	return out, err
}

// CreateProxyProvider saves a new proxy provider and sets ID, Created and Updated.
func (db *DB) CreateProxyProvider(ctx context.Context, t core.TenantID, v *core.ProxyProvider) error {
	return db.write(ctx, t, directory, "create proxy provider", func(x *tx) error {
		sources, providers, err := x.proxyReferences(ctx, v)
		if err != nil {
			return err
		}
		base, err := x.insertProvider(ctx, kindProxy, v.ClientID, &v.ProviderBase)
		if err != nil {
			return err
		}
		if err := x.roomForHost(ctx); err != nil {
			return err
		}
		err = x.exec(ctx, `INSERT INTO proxy_providers (provider_id, mode, external_host, internal_host, cookie_domain, skip_path,
				internal_tls_verify, certificate, basic_auth, basic_auth_user, basic_auth_password, intercept_header_auth,
				access_validity, refresh_validity, federation_sources, federation_providers)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
			base.ID, v.Mode, v.ExternalHost, v.InternalHost, v.CookieDomain, v.SkipPath, v.InternalTLSVerify, orNull(v.Certificate),
			v.BasicAuth, v.BasicAuthUserAttribute, v.BasicAuthPasswordAttribute, v.InterceptHeaderAuth,
			v.AccessValidity, v.RefreshValidity, sources, providers)
		if err != nil {
			return err
		}
		v.ProviderBase = base
		return nil
	})
}

func (x *tx) proxyReferences(ctx context.Context, v *core.ProxyProvider) (sources, providers string, err error) {
	if err := x.keyExists(ctx, "certificate", v.Certificate); err != nil {
		return "", "", err
	}
	for _, p := range v.FederationProviders {
		if err := x.providerExists(ctx, "jwt_federation_providers", p); err != nil {
			return "", "", err
		}
	}
	return federationJSON(v.FederationSources, v.FederationProviders)
}

// UpdateProxyProvider loads a proxy provider, calls change and saves.
func (db *DB) UpdateProxyProvider(ctx context.Context, t core.TenantID, id core.ProviderID, change func(*core.ProxyProvider) error) (v *core.ProxyProvider, err error) {
	err = db.write(ctx, t, directory, "update proxy provider", func(x *tx) error {
		v, err = x.proxyProvider(ctx, `p.id = $1`+db.engine.forUpdate(), id)
		if err != nil {
			return err
		}
		old := *v
		if err := change(v); err != nil {
			return unwrapped{err}
		}
		sources, providers, err := x.proxyReferences(ctx, v)
		if err != nil {
			return err
		}
		if err := x.updateProvider(ctx, old.ProviderBase, old.ClientID, v.ClientID, &v.ProviderBase); err != nil {
			return err
		}
		return x.must(ctx, `UPDATE proxy_providers SET mode = $2, external_host = $3, internal_host = $4, cookie_domain = $5, skip_path = $6,
				internal_tls_verify = $7, certificate = $8, basic_auth = $9, basic_auth_user = $10, basic_auth_password = $11,
				intercept_header_auth = $12, access_validity = $13, refresh_validity = $14, federation_sources = $15,
				federation_providers = $16 WHERE provider_id = $1`,
			id, v.Mode, v.ExternalHost, v.InternalHost, v.CookieDomain, v.SkipPath, v.InternalTLSVerify, orNull(v.Certificate),
			v.BasicAuth, v.BasicAuthUserAttribute, v.BasicAuthPasswordAttribute, v.InterceptHeaderAuth,
			v.AccessValidity, v.RefreshValidity, sources, providers)
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}
