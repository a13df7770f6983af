package sqldb

import (
	"context"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const policyColumns = `p.id, p.name, p.expression, p.logging, p.created, p.updated`

func scanPolicy(s scanner, more ...any) (*core.ExpressionPolicy, error) {
	var p core.ExpressionPolicy
	var created, updated int64
	if err := s.Scan(append([]any{&p.ID, &p.Name, &p.Expression, &p.Logging, &created, &updated}, more...)...); err != nil {
		return nil, err
	}
	p.Created, p.Updated = fromMicros(created), fromMicros(updated)
	return &p, nil
}

func (db *DB) onePolicy(ctx context.Context, t core.TenantID, where string, arg any) (p *core.ExpressionPolicy, err error) {
	err = db.read(ctx, t, directory, "read policy", func(q *conn) error {
		p, err = scanPolicy(q.row(ctx, `SELECT `+policyColumns+` FROM policies p WHERE `+where, arg))
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Policy finds an expression policy by ID.
func (db *DB) Policy(ctx context.Context, t core.TenantID, id core.PolicyID) (*core.ExpressionPolicy, error) {
	return db.onePolicy(ctx, t, `p.id = $1`, id)
}

// PolicyByName finds an expression policy by its exact name.
func (db *DB) PolicyByName(ctx context.Context, t core.TenantID, name string) (*core.ExpressionPolicy, error) {
	return db.onePolicy(ctx, t, `p.name = $1`, name)
}

func policyFilter(name string) (filter, bool) {
	switch name {
	case "pk", "policy_uuid":
		return equals("p.id"), true
	case "name":
		return equals("p.name"), true
	case "expression":
		return equals("p.expression"), true
	case "execution_logging":
		return truth("p.logging"), true
	case "created":
		return moment("p.created", "")
	case "last_updated":
		return moment("p.updated", "")
	}
	return filter{}, false
}

func policyOrder(name string) (string, bool) {
	switch name {
	case "pk":
		return "p.id", true
	case "name":
		return "p.name_fold", true
	case "created":
		return "p.created", true
	case "last_updated":
		return "p.updated", true
	}
	return "", false
}

// ListPolicies lists expression policies: see api.Query.
func (db *DB) ListPolicies(ctx context.Context, t core.TenantID, q api.Query) (out []core.ExpressionPolicy, total int, err error) {
	r := &resource{filter: policyFilter, order: policyOrder, search: []string{"p.name_fold"}, pk: "p.id"}
	clauses, args, err := r.list(q, "")
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, t, directory, "list policies", func(c *conn) error {
		out, total = nil, 0
		err := c.each(ctx, func(s scanner) error {
			p, err := scanPolicy(s, &total)
			if err == nil {
				out = append(out, *p)
			}
			return err
		}, `SELECT `+policyColumns+`, count(*) OVER () FROM policies p`+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, `policies p`, clauses, args)
		}
		return err
	})
	return out, total, err
}

// CreatePolicy saves a new expression policy and sets ID, Created and Updated.
func (db *DB) CreatePolicy(ctx context.Context, t core.TenantID, p *core.ExpressionPolicy) error {
	return db.write(ctx, t, directory, "create policy", func(x *tx) error {
		id, now := core.PolicyID(db.newID()), db.stamp()
		err := x.exec(ctx, `INSERT INTO policies (id, name, name_fold, expression, logging, created, updated) VALUES ($1, $2, $3, $4, $5, $6, $6)`,
			id, p.Name, core.Fold(p.Name), p.Expression, p.Logging, micros(now))
		if err != nil {
			return x.taken(err)
		}
		x.changed("policy", string(id), "create")
		p.ID, p.Created, p.Updated = id, now, now
		return nil
	})
}

// UpdatePolicy loads an expression policy, calls change and saves.
func (db *DB) UpdatePolicy(ctx context.Context, t core.TenantID, id core.PolicyID, change func(*core.ExpressionPolicy) error) (p *core.ExpressionPolicy, err error) {
	err = db.write(ctx, t, directory, "update policy", func(x *tx) error {
		p, err = scanPolicy(x.row(ctx, `SELECT `+policyColumns+` FROM policies p WHERE p.id = $1`+db.engine.forUpdate(), id))
		if err != nil {
			return err
		}
		created := p.Created
		if err := change(p); err != nil {
			return unwrapped{err}
		}
		p.ID, p.Created, p.Updated = id, created, db.stamp()
		err := x.must(ctx, `UPDATE policies SET name = $2, name_fold = $3, expression = $4, logging = $5, updated = $6 WHERE id = $1`,
			id, p.Name, core.Fold(p.Name), p.Expression, p.Logging, micros(p.Updated))
		x.changed("policy", string(id), "update")
		return x.taken(err)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// DeletePolicy deletes an expression policy. Its bindings stay, and deny.
func (db *DB) DeletePolicy(ctx context.Context, t core.TenantID, id core.PolicyID) error {
	return db.write(ctx, t, directory, "delete policy", func(x *tx) error {
		x.changed("policy", string(id), "delete")
		return x.must(ctx, `DELETE FROM policies WHERE id = $1`, id)
	})
}
