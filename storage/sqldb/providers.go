package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/postern-sso/postern/core"
)

// The kinds of provider, as kept.
const (
	kindClient = "oauth2"
	kindProxy  = "proxy"
)

const providerColumns = `p.id, p.name, coalesce(p.client_id, ''), p.authentication_flow, p.authorization_flow, p.invalidation_flow, p.created, p.updated`

// providerBase are the scan targets of providerColumns.
type providerBase struct {
	base             *core.ProviderBase
	clientID         *string
	created, updated int64
}

func (b *providerBase) dest() []any {
	return []any{&b.base.ID, &b.base.Name, b.clientID, &b.base.AuthenticationFlow, &b.base.AuthorizationFlow,
		&b.base.InvalidationFlow, &b.created, &b.updated}
}

func (b *providerBase) done() {
	b.base.Created, b.base.Updated = fromMicros(b.created), fromMicros(b.updated)
}

// mappingsOf fills in the mappings of providers, as they were assigned.
func (c *conn) mappingsOf(ctx context.Context, bases []*core.ProviderBase) error {
	if len(bases) == 0 {
		return nil
	}
	at := make(map[core.ProviderID]*core.ProviderBase, len(bases))
	b := new(builder)
	ids := make([]core.ProviderID, len(bases))
	for i, p := range bases {
		at[p.ID] = p
		ids[i] = p.ID
	}
	list := in(b, ids)
	return c.each(ctx, func(s scanner) error {
		var p core.ProviderID
		var m core.MappingID
		if err := s.Scan(&p, &m); err != nil {
			return err
		}
		at[p].Mappings = append(at[p].Mappings, m)
		return nil
	}, `SELECT provider_id, mapping_id FROM provider_mappings WHERE provider_id IN (`+list+`) ORDER BY provider_id, position`, b.args...)
}

// insertProvider saves what all kinds share and sets ID, Created and Updated.
func (x *tx) insertProvider(ctx context.Context, kind, clientID string, p *core.ProviderBase) (core.ProviderBase, error) {
	id, err := x.next(ctx, "provider")
	if err != nil {
		return core.ProviderBase{}, err
	}
	out := *p
	out.ID, out.Created = core.ProviderID(id), x.db.stamp()
	out.Updated = out.Created
	err = x.exec(ctx, `INSERT INTO providers (id, kind, name, name_fold, client_id, authentication_flow, authorization_flow, invalidation_flow, created, updated)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`,
		id, kind, p.Name, core.Fold(p.Name), orNull(clientID), p.AuthenticationFlow, p.AuthorizationFlow, p.InvalidationFlow, micros(out.Created))
	if err != nil {
		return core.ProviderBase{}, x.taken(err)
	}
	x.changed("provider", strconv.FormatInt(id, 10), "create")
	return out, x.setMappings(ctx, out.ID, p.Mappings)
}

// updateProvider saves what all kinds share. A client ID that changes is another
// client: what the old one was granted ends.
func (x *tx) updateProvider(ctx context.Context, old core.ProviderBase, oldClient, clientID string, p *core.ProviderBase) error {
	p.ID, p.Created, p.Updated = old.ID, old.Created, x.db.stamp()
	err := x.must(ctx, `UPDATE providers SET name = $2, name_fold = $3, client_id = $4, authentication_flow = $5, authorization_flow = $6,
			invalidation_flow = $7, updated = $8 WHERE id = $1`,
		p.ID, p.Name, core.Fold(p.Name), orNull(clientID), p.AuthenticationFlow, p.AuthorizationFlow, p.InvalidationFlow, micros(p.Updated))
	if err != nil {
		return x.taken(err)
	}
	if clientID != oldClient {
		if err := x.endClient(ctx, p.ID, oldClient); err != nil {
			return err
		}
	}
	x.changed("provider", strconv.FormatInt(int64(p.ID), 10), "update")
	return x.setMappings(ctx, p.ID, p.Mappings)
}

// endClient ends all that was granted to a provider, and the consents to it, so
// that whoever is given its client ID next inherits nothing.
func (x *tx) endClient(ctx context.Context, id core.ProviderID, clientID string) error {
	if err := x.deleteGrants(ctx, `provider_id = $1`, id); err != nil {
		return err
	}
	if clientID == "" {
		return nil
	}
	if err := x.deleteGrants(ctx, `client_id = $1`, clientID); err != nil {
		return err
	}
	return x.exec(ctx, `DELETE FROM consents WHERE client_id = $1`, clientID)
}

func (x *tx) setMappings(ctx context.Context, id core.ProviderID, mappings []core.MappingID) error {
	if err := x.exec(ctx, `DELETE FROM provider_mappings WHERE provider_id = $1`, id); err != nil {
		return err
	}
	for i, m := range mappings {
		if err := x.refers(ctx, "property_mappings", m, `SELECT 1 FROM mappings WHERE id = $1`); err != nil {
			return err
		}
		err := x.exec(ctx, `INSERT INTO provider_mappings (provider_id, mapping_id, position) VALUES ($1, $2, $3)
			ON CONFLICT (provider_id, mapping_id) DO NOTHING`, id, m, i)
		if err != nil {
			return err
		}
	}
	return nil
}

// keyExists refuses a reference to a key pair that is not there.
func (x *tx) keyExists(ctx context.Context, field string, id core.KeyPairID) error {
	if id == "" {
		return nil
	}
	return x.refers(ctx, field, id, `SELECT 1 FROM key_pairs WHERE id = $1`)
}

// Provider finds a provider of any kind.
func (db *DB) Provider(ctx context.Context, t core.TenantID, id core.ProviderID) (p core.Provider, err error) {
	err = db.read(ctx, t, directory, "read provider", func(q *conn) error {
		var kind string
		if err := q.row(ctx, `SELECT kind FROM providers WHERE id = $1`, id).Scan(&kind); err != nil {
			return err
		}
		switch kind {
		case kindClient:
			c, err := q.client(ctx, `p.id = $1`, id)
			if err != nil {
				return err
			}
			p = c
		case kindProxy:
			c, err := q.proxyProvider(ctx, `p.id = $1`, id)
			if err != nil {
				return err
			}
			p = c
		default:
			// A later version made it.
			return fmt.Errorf("provider %d is of kind %q, which this version does not know: %w", id, kind, core.ErrNotFound)
		}
		return nil
	})
	return p, err
}

// DeleteProvider deletes a provider of any kind, with its grants, codes, tokens
// and consents, and detaches it from its application.
func (db *DB) DeleteProvider(ctx context.Context, t core.TenantID, id core.ProviderID) error {
	return db.write(ctx, t, directory, "delete provider", func(x *tx) error {
		var clientID string
		if err := x.row(ctx, `SELECT coalesce(client_id, '') FROM providers WHERE id = $1`+db.engine.forUpdate(), id).Scan(&clientID); err != nil {
			return err
		}
		if err := x.endClient(ctx, id, clientID); err != nil {
			return err
		}
		var app string
		err := x.row(ctx, `UPDATE applications SET provider_id = NULL, updated = $2 WHERE provider_id = $1 RETURNING id`, id, micros(db.stamp())).Scan(&app)
		if err == nil {
			x.changed("application", app, "update")
		} else if !errors.Is(err, core.ErrNotFound) {
			return err
		}
		x.changed("provider", strconv.FormatInt(int64(id), 10), "delete")
		return x.must(ctx, `DELETE FROM providers WHERE id = $1`, id)
	})
}

func providerFilter(name string) (filter, bool) {
	switch name {
	case "pk":
		return number("p.id"), true
	case "name":
		return equals("p.name"), true
	case "name__iexact":
		return folded("p.name_fold"), true
	case "client_id":
		return equals("p.client_id"), true
	case "authentication_flow":
		return equals("p.authentication_flow"), true
	case "authorization_flow":
		return equals("p.authorization_flow"), true
	case "invalidation_flow":
		return equals("p.invalidation_flow"), true
	case "application":
		return equals(`p.id IN (SELECT a.provider_id FROM applications a WHERE a.id`).close(), true
	case "application__isnull":
		return null(`NOT EXISTS (SELECT 1 FROM applications a WHERE a.provider_id = p.id)`), true
	case "property_mappings", "property_mappings__iexact":
		return equals(`p.id IN (SELECT m.provider_id FROM provider_mappings m WHERE m.mapping_id`).close(), true
	}
	return filter{}, false
}

func providerOrder(name string) (string, bool) {
	switch name {
	case "pk", "id":
		return "p.id", true
	case "name":
		return "p.name_fold", true
	case "client_id":
		return "p.client_id", true
	}
	return "", false
}
