package sqldb

import (
	"context"
	"errors"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const brandColumns = `brands.id, brands.domain, brands.is_default, brands.title, brands.logo, brands.favicon, brands.background, brands.css,
	brands.flow_authentication, brands.flow_invalidation, brands.flow_recovery, brands.flow_unenrollment, brands.flow_user_settings, brands.flow_device_code,
	coalesce(brands.application_id, ''), coalesce(brands.web_certificate, ''), brands.attributes, brands.created, brands.updated`

func scanBrand(s scanner, more ...any) (*core.Brand, error) {
	var b core.Brand
	var attributes string
	var created, updated int64
	err := s.Scan(append([]any{&b.ID, &b.Domain, &b.Default, &b.Title, &b.Logo, &b.Favicon, &b.Background, &b.CSS,
		&b.FlowAuthentication, &b.FlowInvalidation, &b.FlowRecovery, &b.FlowUnenrollment, &b.FlowUserSettings, &b.FlowDeviceCode,
		&b.Application, &b.WebCertificate, &attributes, &created, &updated}, more...)...)
	if err != nil {
		return nil, err
	}
	b.Created, b.Updated = fromMicros(created), fromMicros(updated)
	b.Attributes, err = fromJSONObject(attributes)
	return &b, err
}

func (c *conn) brands(ctx context.Context, query string, args ...any) (out []core.Brand, total int, err error) {
	place := map[core.BrandID]int{}
	err = c.each(ctx, func(s scanner) error {
		b, err := scanBrand(s, &total)
		if err == nil {
			place[b.ID] = len(out)
			out = append(out, *b)
		}
		return err
	}, query, args...)
	if err != nil || len(out) == 0 {
		return nil, 0, err
	}
	ids := new(builder)
	of := make([]core.BrandID, len(out))
	for i := range out {
		of[i] = out[i].ID
	}
	err = c.each(ctx, func(s scanner) error {
		var brand core.BrandID
		var pair core.KeyPairID
		err := s.Scan(&brand, &pair)
		if err == nil {
			b := &out[place[brand]]
			b.ClientCertificates = append(b.ClientCertificates, pair)
		}
		return err
	}, `SELECT brand_id, key_pair_id FROM brand_certificates WHERE brand_id IN (`+in(ids, of)+`) ORDER BY position`, ids.args...)
	return out, total, err
}

// brand is the only one that a query finds.
func (c *conn) brand(ctx context.Context, query string, args ...any) (*core.Brand, error) {
	found, _, err := c.brands(ctx, `SELECT `+brandColumns+`, 0 FROM brands WHERE `+query, args...)
	if err == nil && len(found) == 0 {
		err = core.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

// Brand finds a brand by ID.
func (db *DB) Brand(ctx context.Context, t core.TenantID, id core.BrandID) (b *core.Brand, err error) {
	err = db.read(ctx, t, directory, "read brand", func(q *conn) error {
		b, err = q.brand(ctx, `brands.id = $1`, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Brands returns all of a tenant, the oldest first.
func (db *DB) Brands(ctx context.Context, t core.TenantID) (out []core.Brand, err error) {
	err = db.read(ctx, t, directory, "read brands", func(q *conn) error {
		out, _, err = q.brands(ctx, `SELECT `+brandColumns+`, 0 FROM brands ORDER BY brands.created, brands.id`)
		return err
	})
	return out, err
}

func brandFilter(name string) (filter, bool) {
	switch name {
	case "pk", "brand_uuid":
		return equals("brands.id"), true
	case "domain":
		return equals("brands.domain"), true
	case "default":
		return truth("brands.is_default"), true
	case "branding_title":
		return equals("brands.title"), true
	case "branding_logo":
		return equals("brands.logo"), true
	case "branding_favicon":
		return equals("brands.favicon"), true
	case "branding_default_flow_background":
		return equals("brands.background"), true
	case "flow_authentication", "flow_invalidation", "flow_recovery", "flow_unenrollment", "flow_user_settings", "flow_device_code":
		return equals("brands." + name), true
	case "web_certificate":
		return equals("brands.web_certificate"), true
	case "client_certificates":
		return filter{asText, "brands.id IN (SELECT brand_id FROM brand_certificates WHERE key_pair_id IN (%s))"}, true
	}
	return filter{}, false
}

func brandOrder(name string) (string, bool) {
	switch name {
	case "pk", "brand_uuid":
		return "brands.id", true
	case "domain":
		return "brands.domain_fold", true
	case "default":
		return "brands.is_default", true
	case "branding_title":
		return "brands.title_fold", true
	}
	return "", false
}

// ListBrands lists brands: see api.Query.
func (db *DB) ListBrands(ctx context.Context, t core.TenantID, q api.Query) (out []core.Brand, total int, err error) {
	r := &resource{filter: brandFilter, order: brandOrder, search: []string{"brands.domain_fold", "brands.title_fold"}, pk: "brands.id"}
	clauses, args, err := r.list(q, "")
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, t, directory, "list brands", func(c *conn) error {
		out, total, err = c.brands(ctx, `SELECT `+brandColumns+`, count(*) OVER () FROM brands`+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, `brands`, clauses, args)
		}
		return err
	})
	return out, total, err
}

// CreateBrand saves a new brand, and sets ID, Created and Updated. One that is the
// default takes that from the one that was.
func (db *DB) CreateBrand(ctx context.Context, t core.TenantID, b *core.Brand) error {
	return db.write(ctx, t, directory, "create brand", func(x *tx) error {
		if _, err := x.next(ctx, "brand"); err != nil {
			return err
		}
		made := *b
		if err := x.createBrand(ctx, &made); err != nil {
			return err
		}
		*b = made
		return nil
	})
}

func (x *tx) createBrand(ctx context.Context, b *core.Brand) error {
	now := x.db.stamp()
	b.ID, b.Created, b.Updated = core.BrandID(x.db.newID()), now, now
	if err := x.refersBrand(ctx, b); err != nil {
		return err
	}
	if b.Default {
		if err := x.exec(ctx, `UPDATE brands SET is_default = FALSE WHERE is_default`); err != nil {
			return err
		}
	}
	err := x.exec(ctx, `INSERT INTO brands (id, domain, domain_fold, is_default, title, title_fold, logo, favicon, background, css,
			flow_authentication, flow_invalidation, flow_recovery, flow_unenrollment, flow_user_settings, flow_device_code,
			application_id, web_certificate, attributes, created, updated)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, '{}', $19, $19)`,
		b.ID, b.Domain, core.Fold(b.Domain), b.Default, b.Title, core.Fold(b.Title), b.Logo, b.Favicon, b.Background, b.CSS,
		b.FlowAuthentication, b.FlowInvalidation, b.FlowRecovery, b.FlowUnenrollment, b.FlowUserSettings, b.FlowDeviceCode,
		orNull(b.Application), orNull(b.WebCertificate), micros(now))
	if err != nil {
		return x.taken(err)
	}
	x.changed("brand", string(b.ID), "create")
	return x.setBrandLists(ctx, b)
}

// refersBrand refuses references to what does not exist.
func (x *tx) refersBrand(ctx context.Context, b *core.Brand) error {
	if b.Application != "" {
		if err := x.refers(ctx, "default_application", b.Application, `SELECT 1 FROM applications WHERE id = $1`); err != nil {
			return err
		}
	}
	if b.WebCertificate != "" {
		if err := x.refers(ctx, "web_certificate", b.WebCertificate, `SELECT 1 FROM key_pairs WHERE id = $1`); err != nil {
			return err
		}
	}
	for _, id := range b.ClientCertificates {
		if err := x.refers(ctx, "client_certificates", id, `SELECT 1 FROM key_pairs WHERE id = $1`); err != nil {
			return err
		}
	}
	return nil
}

// setBrandLists writes what is not in a column of its own, and reads the attributes as
// they will be read.
func (x *tx) setBrandLists(ctx context.Context, b *core.Brand) error {
	text, err := toJSON(b.Attributes)
	if err != nil {
		return err
	}
	if b.Attributes, err = fromJSONObject(text); err != nil {
		return err
	}
	if b.Attributes == nil || text == "null" {
		text = "{}"
	}
	if err := x.exec(ctx, `UPDATE brands SET attributes = $2 WHERE id = $1`, b.ID, text); err != nil {
		return err
	}
	if err := x.exec(ctx, `DELETE FROM brand_certificates WHERE brand_id = $1`, b.ID); err != nil {
		return err
	}
	for i, id := range b.ClientCertificates {
		if err := x.exec(ctx, `INSERT INTO brand_certificates (brand_id, key_pair_id, position) VALUES ($1, $2, $3)`, b.ID, id, int64(i)); err != nil {
			return err
		}
	}
	return nil
}

// UpdateBrand loads a brand, calls change and saves. One that is made the default takes
// that from the one that was; where the default one is made none, the oldest other one
// is. The only brand of a tenant cannot be made none.
func (db *DB) UpdateBrand(ctx context.Context, t core.TenantID, id core.BrandID, change func(*core.Brand) error) (b *core.Brand, err error) {
	err = db.write(ctx, t, directory, "update brand", func(x *tx) error {
		if _, err := x.next(ctx, "brand"); err != nil {
			return err
		}
		if b, err = x.brand(ctx, `brands.id = $1`, id); err != nil {
			return err
		}
		old := *b
		if err := change(b); err != nil {
			return unwrapped{err}
		}
		b.ID, b.Created, b.Updated = old.ID, old.Created, db.stamp()
		if err := x.refersBrand(ctx, b); err != nil {
			return err
		}
		switch {
		case b.Default && !old.Default:
			err = x.exec(ctx, `UPDATE brands SET is_default = FALSE WHERE is_default`)
		case old.Default && !b.Default:
			err = x.inheritDefault(ctx, id)
			if errors.Is(err, core.ErrNotFound) {
				err = unwrapped{&core.FieldError{Field: "default", Message: "One brand must be the default, and there is no other one."}}
			}
		}
		if err != nil {
			return err
		}
		err = x.exec(ctx, `UPDATE brands SET domain = $2, domain_fold = $3, is_default = $4, title = $5, title_fold = $6, logo = $7, favicon = $8,
				background = $9, css = $10, flow_authentication = $11, flow_invalidation = $12, flow_recovery = $13, flow_unenrollment = $14,
				flow_user_settings = $15, flow_device_code = $16, application_id = $17, web_certificate = $18, updated = $19
			WHERE id = $1`,
			id, b.Domain, core.Fold(b.Domain), b.Default, b.Title, core.Fold(b.Title), b.Logo, b.Favicon, b.Background, b.CSS,
			b.FlowAuthentication, b.FlowInvalidation, b.FlowRecovery, b.FlowUnenrollment, b.FlowUserSettings, b.FlowDeviceCode,
			orNull(b.Application), orNull(b.WebCertificate), micros(b.Updated))
		if err != nil {
			return x.taken(err)
		}
		x.changed("brand", string(id), "update")
		return x.setBrandLists(ctx, b)
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// inheritDefault makes the oldest brand beside one the default. None is core.ErrNotFound.
func (x *tx) inheritDefault(ctx context.Context, beside core.BrandID) error {
	var heir core.BrandID
	if err := x.row(ctx, `SELECT brands.id FROM brands WHERE brands.id <> $1 ORDER BY brands.created, brands.id LIMIT 1`, beside).Scan(&heir); err != nil {
		return err
	}
	x.changed("brand", string(heir), "update")
	return x.exec(ctx, `UPDATE brands SET is_default = TRUE WHERE id = $1`, heir)
}

// DeleteBrand deletes a brand. The default one is followed by the oldest of the others;
// a tenant's only one stays, and is core.ErrInUse.
func (db *DB) DeleteBrand(ctx context.Context, t core.TenantID, id core.BrandID) error {
	return db.write(ctx, t, directory, "delete brand", func(x *tx) error {
		if _, err := x.next(ctx, "brand"); err != nil {
			return err
		}
		b, err := x.brand(ctx, `brands.id = $1`, id)
		if err != nil {
			return err
		}
		if b.Default {
			err := x.inheritDefault(ctx, id)
			if errors.Is(err, core.ErrNotFound) {
				err = unwrapped{core.ErrInUse}
			}
			if err != nil {
				return err
			}
		}
		x.changed("brand", string(id), "delete")
		return x.must(ctx, `DELETE FROM brands WHERE id = $1`, id)
	})
}
