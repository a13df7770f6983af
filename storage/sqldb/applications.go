package sqldb

import (
	"context"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const applicationColumns = `a.id, a.slug, a.name, a.heading, coalesce(a.provider_id, 0), a.launch_url, a.icon, a.description,
	a.publisher, a.open_in_new_tab, a.policy_mode, a.created, a.updated`

func scanApplication(s scanner, more ...any) (*core.Application, error) {
	var a core.Application
	var created, updated int64
	err := s.Scan(append([]any{&a.ID, &a.Slug, &a.Name, &a.Group, &a.Provider, &a.LaunchURL, &a.Icon, &a.Description,
		&a.Publisher, &a.OpenInNewTab, &a.PolicyMode, &created, &updated}, more...)...)
	if err != nil {
		return nil, err
	}
	a.Created, a.Updated = fromMicros(created), fromMicros(updated)
	return &a, nil
}

// applications reads a list, and the count that the query's last column holds.
func (c *conn) applications(ctx context.Context, query string, args ...any) (out []core.Application, total int, err error) {
	err = c.each(ctx, func(s scanner) error {
		a, err := scanApplication(s, &total)
		if err == nil {
			out = append(out, *a)
		}
		return err
	}, query, args...)
	if err != nil {
		return nil, 0, err
	}
	list := make([]*core.Application, len(out))
	for i := range out {
		list[i] = &out[i]
	}
	return out, total, c.backchannels(ctx, list)
}

// backchannels fills in the backchannel providers.
func (c *conn) backchannels(ctx context.Context, list []*core.Application) error {
	if len(list) == 0 {
		return nil
	}
	at := make(map[core.ApplicationID]*core.Application, len(list))
	b := new(builder)
	ids := make([]core.ApplicationID, len(list))
	for i, a := range list {
		at[a.ID] = a
		ids[i] = a.ID
	}
	params := in(b, ids)
	return c.each(ctx, func(s scanner) error {
		var id core.ApplicationID
		var p core.ProviderID
		if err := s.Scan(&id, &p); err != nil {
			return err
		}
		at[id].Backchannel = append(at[id].Backchannel, p)
		return nil
	}, `SELECT application_id, provider_id FROM application_backchannel WHERE application_id IN (`+params+`)
		ORDER BY application_id, provider_id`, b.args...)
}

func (c *conn) application(ctx context.Context, where string, arg any) (*core.Application, error) {
	a, err := scanApplication(c.row(ctx, `SELECT `+applicationColumns+` FROM applications a WHERE `+where, arg))
	if err != nil {
		return nil, err
	}
	return a, c.backchannels(ctx, []*core.Application{a})
}

func (db *DB) oneApplication(ctx context.Context, t core.TenantID, where string, arg any) (a *core.Application, err error) {
	err = db.read(ctx, t, directory, "read application", func(q *conn) error {
		a, err = q.application(ctx, where, arg)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Application finds an application by ID.
func (db *DB) Application(ctx context.Context, t core.TenantID, id core.ApplicationID) (*core.Application, error) {
	return db.oneApplication(ctx, t, `a.id = $1`, id)
}

// ApplicationBySlug finds an application by slug.
func (db *DB) ApplicationBySlug(ctx context.Context, t core.TenantID, slug string) (*core.Application, error) {
	return db.oneApplication(ctx, t, `a.slug = $1`, slug)
}

// ApplicationByProvider finds the application that a provider is assigned to.
func (db *DB) ApplicationByProvider(ctx context.Context, t core.TenantID, id core.ProviderID) (*core.Application, error) {
	return db.oneApplication(ctx, t, `a.provider_id = $1`, id)
}

// Applications lists all, ordered by folded name.
func (db *DB) Applications(ctx context.Context, t core.TenantID) (out []core.Application, err error) {
	err = db.read(ctx, t, directory, "list applications", func(q *conn) error {
		out, _, err = q.applications(ctx, `SELECT `+applicationColumns+`, 0 FROM applications a ORDER BY a.name_fold, a.id`)
		return err
	})
	return out, err
}

func applicationFilter(name string) (filter, bool) {
	switch name {
	case "pk":
		return equals("a.id"), true
	case "name":
		return equals("a.name"), true
	case "slug":
		return equals("a.slug"), true
	case "group":
		return equals("a.heading"), true
	case "meta_launch_url":
		return equals("a.launch_url"), true
	case "meta_description":
		return equals("a.description"), true
	case "meta_publisher":
		return equals("a.publisher"), true
	case "provider":
		return number("a.provider_id"), true
	case "provider__isnull":
		return null("a.provider_id IS NULL"), true
	}
	return filter{}, false
}

func applicationOrder(name string) (string, bool) {
	switch name {
	case "pk":
		return "a.id", true
	case "name":
		return "a.name_fold", true
	case "slug":
		return "a.slug", true
	case "group":
		return "a.heading_fold", true
	case "created":
		return "a.created", true
	}
	return "", false
}

// ListApplications lists applications: see api.Query.
func (db *DB) ListApplications(ctx context.Context, t core.TenantID, q api.Query) (out []core.Application, total int, err error) {
	r := &resource{filter: applicationFilter, order: applicationOrder, search: []string{"a.search_fold"}, pk: "a.id"}
	clauses, args, err := r.list(q, "")
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, t, directory, "list applications", func(c *conn) error {
		out, total, err = c.applications(ctx, `SELECT `+applicationColumns+`, count(*) OVER () FROM applications a`+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, `applications a`, clauses, args)
		}
		return err
	})
	return out, total, err
}

func applicationSearch(a *core.Application) string {
	return searchText(a.Name, a.Slug, a.Group, a.LaunchURL, a.Description, a.Publisher)
}

// CreateApplication saves a new application and sets ID, Created and Updated.
func (db *DB) CreateApplication(ctx context.Context, t core.TenantID, a *core.Application) error {
	return db.write(ctx, t, directory, "create application", func(x *tx) error {
		id, now := core.ApplicationID(db.newID()), db.stamp()
		if err := x.providerExists(ctx, "provider", a.Provider); err != nil {
			return err
		}
		err := x.exec(ctx, `INSERT INTO applications (id, slug, name, name_fold, heading, heading_fold, provider_id, launch_url, icon,
				description, publisher, open_in_new_tab, policy_mode, search_fold, created, updated)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)`,
			id, a.Slug, a.Name, core.Fold(a.Name), a.Group, core.Fold(a.Group), orNull(a.Provider), a.LaunchURL, a.Icon,
			a.Description, a.Publisher, a.OpenInNewTab, a.PolicyMode, applicationSearch(a), micros(now))
		if err != nil {
			return x.taken(err)
		}
		if err := x.setBackchannel(ctx, id, a.Backchannel); err != nil {
			return err
		}
		x.changed("application", string(id), "create")
		a.ID, a.Created, a.Updated = id, now, now
		return nil
	})
}

// UpdateApplication loads an application, calls change and saves.
func (db *DB) UpdateApplication(ctx context.Context, t core.TenantID, slug string, change func(*core.Application) error) (a *core.Application, err error) {
	err = db.write(ctx, t, directory, "update application", func(x *tx) error {
		a, err = x.application(ctx, `a.slug = $1`+db.engine.forUpdate(), slug)
		if err != nil {
			return err
		}
		id, created := a.ID, a.Created
		if err := onlyOn(ctx, "application", string(id)); err != nil {
			return err
		}
		if err := change(a); err != nil {
			return unwrapped{err}
		}
		a.ID, a.Created, a.Updated = id, created, db.stamp()
		if err := x.providerExists(ctx, "provider", a.Provider); err != nil {
			return err
		}
		err := x.must(ctx, `UPDATE applications SET slug = $2, name = $3, name_fold = $4, heading = $5, heading_fold = $6, provider_id = $7,
				launch_url = $8, icon = $9, description = $10, publisher = $11, open_in_new_tab = $12, policy_mode = $13, search_fold = $14, updated = $15
			WHERE id = $1`, id, a.Slug, a.Name, core.Fold(a.Name), a.Group, core.Fold(a.Group), orNull(a.Provider),
			a.LaunchURL, a.Icon, a.Description, a.Publisher, a.OpenInNewTab, a.PolicyMode, applicationSearch(a), micros(a.Updated))
		if err != nil {
			return x.taken(err)
		}
		x.changed("application", string(id), "update")
		return x.setBackchannel(ctx, id, a.Backchannel)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (x *tx) setBackchannel(ctx context.Context, id core.ApplicationID, providers []core.ProviderID) error {
	if err := x.exec(ctx, `DELETE FROM application_backchannel WHERE application_id = $1`, id); err != nil {
		return err
	}
	for _, p := range providers {
		if err := x.providerExists(ctx, "backchannel_providers", p); err != nil {
			return err
		}
		err := x.exec(ctx, `INSERT INTO application_backchannel (application_id, provider_id) VALUES ($1, $2)
			ON CONFLICT (application_id, provider_id) DO NOTHING`, id, p)
		if err != nil {
			return err
		}
	}
	return nil
}

// providerExists refuses a reference to a provider that is not there. Zero is none.
func (x *tx) providerExists(ctx context.Context, field string, id core.ProviderID) error {
	if id == 0 && field == "provider" {
		return nil
	}
	return x.refers(ctx, field, int64(id), `SELECT 1 FROM providers WHERE id = $1`)
}

// DeleteApplication deletes an application. Its provider stays.
func (db *DB) DeleteApplication(ctx context.Context, t core.TenantID, slug string) error {
	return db.write(ctx, t, directory, "delete application", func(x *tx) error {
		var id string
		if err := x.row(ctx, `DELETE FROM applications WHERE slug = $1 RETURNING id`, slug).Scan(&id); err != nil {
			return err
		}
		x.changed("application", id, "delete")
		return onlyOn(ctx, "application", id)
	})
}
