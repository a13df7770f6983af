package sqldb

import (
	"context"
	"fmt"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const clientColumns = providerColumns + `, c.client_type, c.secret, c.redirect_uris, c.code_validity, c.access_validity, c.refresh_validity,
	c.refresh_threshold, c.sub_mode, c.issuer_mode, c.include_claims, coalesce(c.signing_key, ''), coalesce(c.encryption_key, ''),
	c.logout_uri, c.logout_method, c.federation_sources, c.federation_providers`

const clientTables = ` FROM providers p JOIN oauth2_clients c ON c.provider_id = p.id`

const secretPurpose = "client secret"

func secretPlace(id core.ProviderID) string { return fmt.Sprintf("oauth2_clients/secret/%d", id) }

func (c *conn) scanClient(s scanner, more ...any) (*core.Client, error) {
	var v core.Client
	var sealed []byte
	var uris, sources, providers string
	b := providerBase{base: &v.ProviderBase, clientID: &v.ClientID}
	dest := append(b.dest(), &v.Type, &sealed, &uris, &v.CodeValidity, &v.AccessValidity, &v.RefreshValidity,
		&v.RefreshThreshold, &v.SubMode, &v.IssuerMode, &v.IncludeClaimsInIDToken, &v.SigningKey, &v.EncryptionKey,
		&v.LogoutURI, &v.LogoutMethod, &sources, &providers)
	if err := s.Scan(append(dest, more...)...); err != nil {
		return nil, err
	}
	b.done()
	var err error
	if v.Secret, err = c.unseal(secretPurpose, secretPlace(v.ID), sealed); err != nil {
		return nil, err
	}
	if err := fromJSON(uris, &v.RedirectURIs); err != nil {
		return nil, err
	}
	if err := fromJSON(sources, &v.FederationSources); err != nil {
		return nil, err
	}
	return &v, fromJSON(providers, &v.FederationProviders)
}

func (c *conn) client(ctx context.Context, where string, arg any) (*core.Client, error) {
	v, err := c.scanClient(c.row(ctx, `SELECT `+clientColumns+clientTables+` WHERE `+where, arg))
	if err != nil {
		return nil, err
	}
	return v, c.mappingsOf(ctx, []*core.ProviderBase{&v.ProviderBase})
}

// Client finds an OAuth 2.0 client by its client_id.
func (db *DB) Client(ctx context.Context, t core.TenantID, clientID string) (v *core.Client, err error) {
	err = db.read(ctx, t, directory, "read client", func(q *conn) error {
		v, err = q.client(ctx, `p.client_id = $1`, clientID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// ClientByName finds an OAuth 2.0 client by the name of its provider.
func (db *DB) ClientByName(ctx context.Context, t core.TenantID, name string) (v *core.Client, err error) {
	err = db.read(ctx, t, directory, "read client by name", func(q *conn) error {
		v, err = q.client(ctx, `p.name = $1`, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

func clientFilter(name string) (filter, bool) {
	switch name {
	case "client_type":
		return equals("c.client_type"), true
	case "access_code_validity":
		return equals("c.code_validity"), true
	case "access_token_validity":
		return equals("c.access_validity"), true
	case "refresh_token_validity":
		return equals("c.refresh_validity"), true
	case "include_claims_in_id_token":
		return truth("c.include_claims"), true
	case "issuer_mode":
		return equals("c.issuer_mode"), true
	case "sub_mode":
		return equals("c.sub_mode"), true
	case "signing_key":
		return equals("c.signing_key"), true
	case "signing_key__isnull":
		return null("c.signing_key IS NULL"), true
	case "encryption_key":
		return equals("c.encryption_key"), true
	}
	return providerFilter(name)
}

// ListClients lists OAuth2 providers: see api.Query.
func (db *DB) ListClients(ctx context.Context, t core.TenantID, q api.Query) (out []core.Client, total int, err error) {
	r := &resource{filter: clientFilter, order: providerOrder, search: []string{"p.name_fold"}, pk: "p.id"}
	clauses, args, err := r.list(q, "")
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, t, directory, "list clients", func(c *conn) error {
		out = nil
		err := c.each(ctx, func(s scanner) error {
			v, err := c.scanClient(s, &total)
			if err == nil {
				out = append(out, *v)
			}
			return err
		}, `SELECT `+clientColumns+`, count(*) OVER ()`+clientTables+clauses, args...)
		if err != nil {
			return err
		}
		if len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, clientTables[len(" FROM "):], clauses, args)
			return err
		}
		bases := make([]*core.ProviderBase, len(out))
		for i := range out {
			bases[i] = &out[i].ProviderBase
		}
		return c.mappingsOf(ctx, bases)
	})
	return out, total, err
}

// clientJSON are the columns of a client that hold JSON.
func clientJSON(v *core.Client) (uris, sources, providers string, err error) {
	list := make(jsonList, len(v.RedirectURIs))
	for i, u := range v.RedirectURIs {
		list[i] = u
	}
	if uris, err = toJSON(list); err != nil {
		return "", "", "", &core.FieldError{Field: "redirect_uris", Message: "The list is longer than 1 MiB."}
	}
	sources, providers, err = federationJSON(v.FederationSources, v.FederationProviders)
	return uris, sources, providers, err
}

func federationJSON(sources []string, providers []core.ProviderID) (string, string, error) {
	s, err := toJSON(sources)
	if err != nil {
		return "", "", &core.FieldError{Field: "jwt_federation_sources", Message: "The list is longer than 1 MiB."}
	}
	ids := make([]int64, len(providers))
	for i, p := range providers {
		ids[i] = int64(p)
	}
	p, err := toJSON(ids)
	if err != nil {
		return "", "", &core.FieldError{Field: "jwt_federation_providers", Message: "The list is longer than 1 MiB."}
	}
	return s, p, nil
}

// CreateClient saves a new OAuth2 provider and sets ID, Created and Updated.
func (db *DB) CreateClient(ctx context.Context, t core.TenantID, v *core.Client) error {
	return db.write(ctx, t, directory, "create client", func(x *tx) error {
		uris, sources, providers, err := clientJSON(v)
		if err != nil {
			return err
		}
		if err := x.clientKeys(ctx, v); err != nil {
			return err
		}
		base, err := x.insertProvider(ctx, kindClient, v.ClientID, &v.ProviderBase)
		if err != nil {
			return err
		}
		err = x.exec(ctx, `INSERT INTO oauth2_clients (provider_id, client_type, secret, redirect_uris, code_validity, access_validity,
				refresh_validity, refresh_threshold, sub_mode, issuer_mode, include_claims, signing_key, encryption_key, logout_uri,
				logout_method, federation_sources, federation_providers)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
			base.ID, v.Type, x.seal(secretPurpose, secretPlace(base.ID), v.Secret), uris, v.CodeValidity, v.AccessValidity,
			v.RefreshValidity, v.RefreshThreshold, v.SubMode, v.IssuerMode, v.IncludeClaimsInIDToken, orNull(v.SigningKey),
			orNull(v.EncryptionKey), v.LogoutURI, v.LogoutMethod, sources, providers)
		if err != nil {
			return err
		}
		v.ProviderBase = base
		return x.outlive(ctx, v)
	})
}

func (x *tx) clientKeys(ctx context.Context, v *core.Client) error {
	if err := x.keyExists(ctx, "signing_key", v.SigningKey); err != nil {
		return err
	}
	if err := x.keyExists(ctx, "encryption_key", v.EncryptionKey); err != nil {
		return err
	}
	for _, p := range v.FederationProviders {
		if err := x.providerExists(ctx, "jwt_federation_providers", p); err != nil {
			return err
		}
	}
	return nil
}

// UpdateClient loads an OAuth2 provider, calls change and saves. A secret that
// changes ends what was granted before.
func (db *DB) UpdateClient(ctx context.Context, t core.TenantID, id core.ProviderID, change func(*core.Client) error) (v *core.Client, err error) {
	err = db.write(ctx, t, directory, "update client", func(x *tx) error {
		v, err = x.client(ctx, `p.id = $1`+db.engine.forUpdate(), id)
		if err != nil {
			return err
		}
		old := *v
		if err := change(v); err != nil {
			return unwrapped{err}
		}
		uris, sources, providers, err := clientJSON(v)
		if err != nil {
			return err
		}
		if err := x.clientKeys(ctx, v); err != nil {
			return err
		}
		if err := x.updateProvider(ctx, old.ProviderBase, old.ClientID, v.ClientID, &v.ProviderBase); err != nil {
			return err
		}
		if v.Secret != old.Secret { // whoever knew it may hold tokens that it opened
			if err := x.deleteGrants(ctx, `provider_id = $1`, id); err != nil {
				return err
			}
		}
		if err := x.outlive(ctx, v); err != nil {
			return err
		}
		if v.SigningKey != old.SigningKey {
			if err := x.leaveKeyPair(ctx, id, old.SigningKey); err != nil {
				return err
			}
		}
		return x.must(ctx, `UPDATE oauth2_clients SET client_type = $2, secret = $3, redirect_uris = $4, code_validity = $5,
				access_validity = $6, refresh_validity = $7, refresh_threshold = $8, sub_mode = $9, issuer_mode = $10, include_claims = $11,
				signing_key = $12, encryption_key = $13, logout_uri = $14, logout_method = $15, federation_sources = $16,
				federation_providers = $17 WHERE provider_id = $1`,
			id, v.Type, x.seal(secretPurpose, secretPlace(id), v.Secret), uris, v.CodeValidity,
			v.AccessValidity, v.RefreshValidity, v.RefreshThreshold, v.SubMode, v.IssuerMode, v.IncludeClaimsInIDToken,
			orNull(v.SigningKey), orNull(v.EncryptionKey), v.LogoutURI, v.LogoutMethod, sources, providers)
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}
