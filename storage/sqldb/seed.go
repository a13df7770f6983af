package sqldb

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-sso/postern/core"
)

// What every tenant starts with.
const (
	adminName  = "akadmin"
	adminEmail = "root@example.com"
)

// seed gives a tenant what it has to have: once, the administrator and the group
// of administrators; at each start, the managed mappings and the key pair that
// are missing. What is there is never changed. An administrator who was deleted
// does not come back.
func (db *DB) seed(ctx context.Context, t core.TenantID) error {
	// Most are whole: to see that is quicker than to write nothing.
	if whole, err := db.whole(ctx, t); whole || err != nil {
		return err
	}
	pair, err := db.missingKeyPair(ctx, t)
	if err != nil {
		return err
	}
	here, ok := db.registry.Load().byID[t]
	if !ok {
		return core.ErrNotFound
	}
	return db.rawWrite(ctx, t, directory, "seed tenant", func(x *tx) error { return x.seed(ctx, here.UUID, pair) })
}

// whole reports whether a tenant has all that seed would write.
func (db *DB) whole(ctx context.Context, t core.TenantID) (whole bool, err error) {
	b := new(builder)
	managed := make([]string, len(db.opt.Mappings))
	for i, m := range db.opt.Mappings {
		managed[i] = m.Managed
	}
	query := `SELECT EXISTS (SELECT 1 FROM meta WHERE name = 'seeded') AND EXISTS (SELECT 1 FROM brands)`
	if len(managed) > 0 {
		query += fmt.Sprintf(` AND (SELECT count(*) FROM mappings WHERE managed IN (%s)) = %d`, in(b, managed), len(managed))
	}
	if db.opt.NewKeyPair != nil {
		query += ` AND EXISTS (SELECT 1 FROM key_pairs WHERE name = ` + b.add(core.SelfSignedKeyPair) + `)`
	}
	err = db.rawRead(ctx, t, directory, "seed tenant", func(q *conn) error { return q.row(ctx, query, b.args...).Scan(&whole) })
	return whole, err
}

// seed writes what is missing; uuid is the tenant's, and pair is nil where there is a key pair.
func (x *tx) seed(ctx context.Context, uuid string, pair *core.KeyPair) error {
	// Two processes that start together take turns.
	if _, err := x.next(ctx, "seed"); err != nil {
		return err
	}
	if err := x.seedAdmin(ctx); err != nil {
		return fmt.Errorf("administrator: %w", err)
	}
	for _, m := range x.db.opt.Mappings {
		if err := x.seedMapping(ctx, m); err != nil {
			return fmt.Errorf("mapping %q: %w", m.Managed, err)
		}
	}
	if err := x.seedBrand(ctx, uuid); err != nil {
		return fmt.Errorf("brand: %w", err)
	}
	if pair == nil {
		return nil
	}
	if found, err := x.found(ctx, `SELECT 1 FROM key_pairs WHERE name = $1`, pair.Name); found || err != nil {
		return err
	}
	return x.createKeyPair(ctx, pair)
}

// missingKeyPair makes the key pair where there is none. That takes long, so it is
// done before the transaction.
func (db *DB) missingKeyPair(ctx context.Context, t core.TenantID) (*core.KeyPair, error) {
	if db.opt.NewKeyPair == nil {
		return nil, nil
	}
	var there bool
	err := db.rawRead(ctx, t, directory, "seed tenant", func(q *conn) (err error) {
		there, err = q.found(ctx, `SELECT 1 FROM key_pairs WHERE name = $1`, core.SelfSignedKeyPair)
		return err
	})
	if err != nil || there {
		return nil, err
	}
	return db.newKeyPair()
}

func (db *DB) newKeyPair() (*core.KeyPair, error) {
	if db.opt.NewKeyPair == nil {
		return nil, nil
	}
	pair, err := db.opt.NewKeyPair()
	if err != nil {
		return nil, fmt.Errorf("make key pair: %w", err)
	}
	c := *pair
	c.Name = core.SelfSignedKeyPair
	return &c, nil
}

// found reports whether a query has a row.
func (c *conn) found(ctx context.Context, query string, args ...any) (bool, error) {
	var one int
	err := c.row(ctx, query, args...).Scan(&one)
	if errors.Is(err, core.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (x *tx) seedAdmin(ctx context.Context) error {
	n, err := x.count(ctx, `INSERT INTO meta (name, value) VALUES ('seeded', '1') ON CONFLICT (name) DO NOTHING`)
	if err != nil || n == 0 {
		return err
	}
	u := &core.User{UserName: adminName, DisplayName: "authentik Default Admin", Email: adminEmail, Active: true,
		Type: core.UserInternal, Path: "users"}
	if err := x.createUser(ctx, u); err != nil {
		return err
	}
	return x.createGroup(ctx, &core.Group{Name: core.AdminGroup, Superuser: true}, []int64{u.PK})
}

// seedBrand gives a tenant without brands its default one.
func (x *tx) seedBrand(ctx context.Context, uuid string) error {
	if found, err := x.found(ctx, `SELECT 1 FROM brands LIMIT 1`); found || err != nil {
		return err
	}
	b := &core.Brand{Domain: core.DefaultBrandDomain, Default: true}
	for slug, id := range map[string]*string{
		core.FlowAuthentication: &b.FlowAuthentication, core.FlowInvalidation: &b.FlowInvalidation, core.FlowUserSettings: &b.FlowUserSettings,
	} {
		f, _ := core.FlowBySlug(uuid, slug)
		*id = f.ID
	}
	return x.createBrand(ctx, b)
}

func (x *tx) seedMapping(ctx context.Context, m core.PropertyMapping) error {
	if m.Managed == "" {
		return errors.New("it has no managed name")
	}
	if found, err := x.found(ctx, `SELECT 1 FROM mappings WHERE managed = $1`, m.Managed); found || err != nil {
		return err
	}
	if found, err := x.found(ctx, `SELECT 1 FROM mappings WHERE kind = $1 AND name = $2`, m.Kind, m.Name); found || err != nil {
		if found {
			x.db.log.WarnContext(ctx, "a default mapping is missing and another one has its name", "tenant", x.tenant, "managed", m.Managed, "name", m.Name)
		}
		return err
	}
	return x.createMapping(ctx, &m)
}
