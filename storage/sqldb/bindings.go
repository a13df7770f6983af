package sqldb

import (
	"context"
	"errors"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/policy"
)

const bindingColumns = `b.id, coalesce(b.application_id, b.entitlement_id, ''), coalesce(b.policy_id, ''), coalesce(b.group_id, ''),
	coalesce(b.user_id, ''), b.negate, b.enabled, b.position, b.timeout, b.failure_result, b.created, b.updated`

func scanBinding(s scanner, more ...any) (*policy.Binding, error) {
	var b policy.Binding
	var timeout, created, updated int64
	err := s.Scan(append([]any{&b.ID, &b.Target, &b.Policy, &b.Group, &b.User, &b.Negate, &b.Enabled, &b.Order, &timeout,
		&b.FailureResult, &created, &updated}, more...)...)
	if err != nil {
		return nil, err
	}
	b.Timeout = time.Duration(timeout) * time.Second
	b.Created, b.Updated = fromMicros(created), fromMicros(updated)
	return &b, nil
}

func (c *conn) binding(ctx context.Context, id policy.BindingID, lock string) (*policy.Binding, error) {
	return scanBinding(c.row(ctx, `SELECT `+bindingColumns+` FROM bindings b WHERE b.id = $1`+lock, id))
}

// Binding finds a binding by ID.
func (db *DB) Binding(ctx context.Context, t core.TenantID, id policy.BindingID) (b *policy.Binding, err error) {
	err = db.read(ctx, t, directory, "read binding", func(q *conn) error {
		b, err = q.binding(ctx, id, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Rules returns the enabled bindings of all targets, each with what it names.
func (db *DB) Rules(ctx context.Context, t core.TenantID) (out []policy.Rule, err error) {
	err = db.read(ctx, t, directory, "read bindings", func(q *conn) error {
		out = nil
		return q.each(ctx, func(s scanner) error {
			var r policy.Rule
			b, err := scanBinding(s, &r.Name, &r.Gone, &r.Source, &r.Logging)
			if err == nil {
				r.Binding = *b
				out = append(out, r)
			}
			return err
		}, `SELECT `+bindingColumns+`, coalesce(p.name, g.name, u.username, ''), p.id IS NULL AND g.id IS NULL AND u.id IS NULL,
				coalesce(p.expression, ''), coalesce(p.logging, FALSE)
			FROM bindings b LEFT JOIN policies p ON p.id = b.policy_id LEFT JOIN groups g ON g.id = b.group_id LEFT JOIN users u ON u.id = b.user_id
			WHERE b.enabled ORDER BY b.position, b.id`)
	})
	return out, err
}

func bindingFilter(name string) (filter, bool) {
	switch name {
	case "pk", "policy_binding_uuid":
		return equals("b.id"), true
	case "target", "target_in":
		return equals("coalesce(b.application_id, b.entitlement_id)"), true
	case "policy":
		return equals("b.policy_id"), true
	case "policy__isnull":
		return null("b.policy_id IS NULL"), true
	case "enabled":
		return truth("b.enabled"), true
	case "order":
		return number("b.position"), true
	case "timeout":
		return number("b.timeout"), true
	}
	return filter{}, false
}

func bindingOrder(name string) (string, bool) {
	switch name {
	case "pk":
		return "b.id", true
	case "target":
		return "coalesce(b.application_id, b.entitlement_id)", true
	case "order":
		return "b.position", true
	case "enabled":
		return "b.enabled", true
	case "timeout":
		return "b.timeout", true
	}
	return "", false
}

// ListBindings lists bindings: see api.Query. A search looks at the names of their policies.
func (db *DB) ListBindings(ctx context.Context, t core.TenantID, q api.Query) (out []policy.Binding, total int, err error) {
	r := &resource{filter: bindingFilter, order: bindingOrder, search: []string{"coalesce(p.name_fold, '')"}, pk: "b.id"}
	clauses, args, err := r.list(q, "")
	if err != nil {
		return nil, 0, err
	}
	const tables = `bindings b LEFT JOIN policies p ON p.id = b.policy_id`
	err = db.read(ctx, t, directory, "list bindings", func(c *conn) error {
		out, total = nil, 0
		err := c.each(ctx, func(s scanner) error {
			b, err := scanBinding(s, &total)
			if err == nil {
				out = append(out, *b)
			}
			return err
		}, `SELECT `+bindingColumns+`, count(*) OVER () FROM `+tables+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, tables, clauses, args)
		}
		return err
	})
	return out, total, err
}

// bindingPlace checks what a binding refers to and tells which kind of target it has.
// What was bound before may be gone: only what is new is looked up.
func (x *tx) bindingPlace(ctx context.Context, b, old *policy.Binding) (application, entitlement any, err error) {
	set := 0
	for _, s := range []string{string(b.Policy), string(b.Group), string(b.User)} {
		if s != "" {
			set++
		}
	}
	switch {
	case set > 1:
		return nil, nil, &core.FieldError{Field: "non_field_errors", Message: "Only one of 'policy', 'group', 'user' can be set."}
	case set == 0:
		return nil, nil, &core.FieldError{Field: "non_field_errors", Message: "One of 'policy', 'group', 'user' must be set."}
	case b.Timeout < 0:
		return nil, nil, &core.FieldError{Field: "timeout", Message: "Ensure this value is greater than or equal to 0."}
	}
	for _, ref := range []struct {
		field, id, before, query string
	}{
		{"policy", string(b.Policy), string(old.Policy), `SELECT 1 FROM policies WHERE id = $1`},
		{"group", string(b.Group), string(old.Group), `SELECT 1 FROM groups WHERE id = $1`},
		{"user", string(b.User), string(old.User), `SELECT 1 FROM users WHERE id = $1`},
	} {
		if ref.id == "" || ref.id == ref.before {
			continue
		}
		if err := x.refers(ctx, ref.field, ref.id, ref.query); err != nil {
			return nil, nil, err
		}
	}
	err = x.refers(ctx, "target", b.Target, `SELECT 1 FROM applications WHERE id = $1`)
	if err == nil {
		return b.Target, nil, nil
	}
	if !errors.Is(err, core.ErrNotFound) {
		return nil, nil, err
	}
	if err := x.refers(ctx, "target", b.Target, `SELECT 1 FROM entitlements WHERE id = $1`); err != nil {
		return nil, nil, err
	}
	if b.Policy != "" {
		return nil, nil, &core.FieldError{Field: "non_field_errors", Message: "Only one of 'group', 'user' can be set: an entitlement takes no policy."}
	}
	return nil, b.Target, nil
}

// CreateBinding saves a new binding and sets ID, Created and Updated.
func (db *DB) CreateBinding(ctx context.Context, t core.TenantID, b *policy.Binding) error {
	return db.write(ctx, t, directory, "create binding", func(x *tx) error {
		application, entitlement, err := x.bindingPlace(ctx, b, &policy.Binding{})
		if err != nil {
			return err
		}
		id, now := policy.BindingID(db.newID()), db.stamp()
		err = x.exec(ctx, `INSERT INTO bindings (id, application_id, entitlement_id, policy_id, group_id, user_id, negate, enabled, position,
				timeout, failure_result, created, updated)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)`,
			id, application, entitlement, orNull(b.Policy), orNull(b.Group), orNull(b.User), b.Negate, b.Enabled, b.Order,
			int64(b.Timeout/time.Second), b.FailureResult, micros(now))
		if err != nil {
			return err
		}
		x.changed("binding", string(id), "create")
		b.ID, b.Created, b.Updated = id, now, now
		return nil
	})
}

// UpdateBinding loads a binding, calls change and saves.
func (db *DB) UpdateBinding(ctx context.Context, t core.TenantID, id policy.BindingID, change func(*policy.Binding) error) (b *policy.Binding, err error) {
	err = db.write(ctx, t, directory, "update binding", func(x *tx) error {
		b, err = x.binding(ctx, id, db.engine.forUpdate())
		if err != nil {
			return err
		}
		old := *b
		if err := change(b); err != nil {
			return unwrapped{err}
		}
		b.ID, b.Created, b.Updated = id, old.Created, db.stamp()
		application, entitlement, err := x.bindingPlace(ctx, b, &old)
		if err != nil {
			return err
		}
		x.changed("binding", string(id), "update")
		return x.must(ctx, `UPDATE bindings SET application_id = $2, entitlement_id = $3, policy_id = $4, group_id = $5, user_id = $6,
				negate = $7, enabled = $8, position = $9, timeout = $10, failure_result = $11, updated = $12 WHERE id = $1`,
			id, application, entitlement, orNull(b.Policy), orNull(b.Group), orNull(b.User), b.Negate, b.Enabled, b.Order,
			int64(b.Timeout/time.Second), b.FailureResult, micros(b.Updated))
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// DeleteBinding deletes a binding.
func (db *DB) DeleteBinding(ctx context.Context, t core.TenantID, id policy.BindingID) error {
	return db.write(ctx, t, directory, "delete binding", func(x *tx) error {
		x.changed("binding", string(id), "delete")
		return x.must(ctx, `DELETE FROM bindings WHERE id = $1`, id)
	})
}
