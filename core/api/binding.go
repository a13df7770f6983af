package api

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/policy"
)

// bindingRow is a binding, and the number of its user where a body names one.
type bindingRow struct {
	policy.Binding
	user int64
}

func bindings() *resource[bindingRow] {
	return &resource[bindingRow]{
		model: "PolicyBinding", app: "authentik_policies", verbose: "Policy Binding", key: "policy_binding_uuid",
		members: []member{
			always("pk", uuidShape()), always("user", integerShape().orNull()),
			always("policy_obj", policyShape()), always("group_obj", partialGroupShape()), always("user_obj", partialUserShape()),
		},
		listing: listing{
			filters: map[string]filter{
				"policy": byUUID, "policy__isnull": byBool, "target": byUUID, "target_in": byUUIDs, "enabled": byBool, "order": byInt, "timeout": byInt,
			},
			order:  []string{"order", "target", "enabled", "timeout", "pk"},
			preset: []string{"target", "order"},
		},
		find: func(c *call, key string) (*bindingRow, error) {
			id, valid := uuid(key)
			if !valid {
				return nil, core.ErrNotFound
			}
			b, err := c.Store.Binding(c.ctx(), c.t, policy.BindingID(id))
			if err != nil {
				return nil, err
			}
			return &bindingRow{Binding: *b}, nil
		},
		page: func(c *call, q Query) ([]bindingRow, int, error) {
			list, count, err := c.listBindings(q)
			rows := make([]bindingRow, len(list))
			for i := range list {
				rows[i].Binding = list[i]
			}
			return rows, count, err
		},
		create: func(c *call, b *bindingRow) error { return c.Store.CreateBinding(c.ctx(), c.t, &b.Binding) },
		update: func(c *call, key string, change func(*bindingRow) error) (*bindingRow, error) {
			id, _ := uuid(key)
			b, err := c.Store.UpdateBinding(c.ctx(), c.t, policy.BindingID(id), func(b *policy.Binding) error {
				row := &bindingRow{Binding: *b}
				err := change(row)
				*b = row.Binding
				return err
			})
			if err != nil {
				return nil, err
			}
			return &bindingRow{Binding: *b}, nil
		},
		remove: func(c *call, key string) error {
			id, _ := uuid(key)
			return c.Store.DeleteBinding(c.ctx(), c.t, policy.BindingID(id))
		},
		fresh: func(*call) *bindingRow {
			return &bindingRow{Binding: policy.Binding{Enabled: true, Timeout: policy.DefaultTimeout}}
		},
		read:   readBinding,
		check:  checkBinding,
		carry:  func(from, to *bindingRow) { to.User = from.User },
		gather: gatherBound,
		show:   showBinding,
		label:  func(b *bindingRow) (string, string) { return string(b.ID), bindingName(&b.Binding) },
	}
}

func (c *call) listBindings(q Query) ([]policy.Binding, int, error) {
	return c.Store.ListBindings(c.ctx(), c.t, q)
}

// bindingName is what lists and events call a binding.
func bindingName(b *policy.Binding) string { return fmt.Sprintf("#%d of %s", b.Order, b.Target) }

func readBinding(f *fields, b *bindingRow) {
	reference(f, "policy", rule{null: true}, &b.Policy)
	reference(f, "group", rule{null: true}, &b.Group)
	integer(f, "user", rule{null: true}, &b.user)
	reference(f, "target", rule{required: true, about: "The application or entitlement."}, &b.Target)
	boolean(f, "negate", &b.Negate)
	boolean(f, "enabled", &b.Enabled)
	integer(f, "order", rule{required: true}, &b.Order)
	seconds := int64(b.Timeout / time.Second)
	integer(f, "timeout", rule{about: "How long the policy may run, in seconds. 0: as long as any expression may."}, &seconds)
	if seconds < 0 {
		f.fail("timeout", "Ensure this value is greater than or equal to 0.")
	}
	b.Timeout = time.Duration(seconds) * time.Second
	boolean(f, "failure_result", &b.FailureResult)
}

// checkBinding looks up what is bound to what. What was bound before may be gone.
func checkBinding(c *call, f *fields, b, old *bindingRow) error {
	was := policy.Binding{}
	if old != nil {
		was = old.Binding
	}
	if f.has("user") && len(f.errs["user"]) == 0 {
		b.User = ""
		if b.user != 0 {
			u, err := c.Store.UserByPK(c.ctx(), c.t, b.user)
			if err := missing(f, "user", strconv.FormatInt(b.user, 10), err); err != nil {
				return err
			}
			if u != nil {
				b.User = u.ID
			}
		}
	}
	if b.Policy != was.Policy && b.Policy != "" {
		_, err := c.Store.Policy(c.ctx(), c.t, b.Policy)
		if err := missing(f, "policy", string(b.Policy), err); err != nil {
			return err
		}
	}
	if b.Group != was.Group && b.Group != "" {
		_, err := c.group(b.Group)
		if err := missing(f, "group", string(b.Group), err); err != nil {
			return err
		}
	}
	if b.Target == "" || len(f.errs) > 0 {
		return nil
	}
	_, err := c.Store.Application(c.ctx(), c.t, core.ApplicationID(b.Target))
	if err == nil {
		oneBound(f, map[string]bool{"group": b.Group != "", "policy": b.Policy != "", "user": b.User != ""}, "group", "policy", "user")
		return nil
	}
	if !errors.Is(err, core.ErrNotFound) {
		return err
	}
	_, err = c.Store.Entitlement(c.ctx(), c.t, core.EntitlementID(b.Target))
	if err := missing(f, "target", string(b.Target), err); err != nil {
		return err
	}
	if b.Policy != "" {
		f.fail("policy", "An entitlement is given to users and groups, not by a policy.")
	}
	if len(f.errs) == 0 {
		oneBound(f, map[string]bool{"group": b.Group != "", "user": b.User != ""}, "group", "user")
	}
	return nil
}

// missing words a reference to what is not there.
func missing(f *fields, name, pk string, err error) error {
	if errors.Is(err, core.ErrNotFound) {
		f.fail(name, noPK(pk))
		return nil
	}
	return err
}

// oneBound checks that exactly one of the names is set.
func oneBound(f *fields, set map[string]bool, names ...string) {
	n := 0
	for _, is := range set {
		if is {
			n++
		}
	}
	all := "'" + strings.Join(names, "', '") + "'"
	switch {
	case n > 1:
		f.fail("non_field_errors", "Only one of "+all+" can be set.")
	case n == 0:
		f.fail("non_field_errors", "One of "+all+" must be set.")
	}
}

// noID stands for nothing where an answer must have an ID.
const noID = "00000000-0000-0000-0000-000000000000"

// showBinding shows with it what is bound. Of the three objects two are empty, and not
// null: the clients of 2026.2 refuse null there.
func showBinding(c *call, b *bindingRow) (any, error) {
	none := object{"component": "", "verbose_name": "", "verbose_name_plural": "", "meta_model_name": "", "pk": noID, "name": "", "execution_logging": false, "bound_to": 0}
	out := object{
		"pk": string(b.ID), "policy": orNull(b.Policy), "group": orNull(b.Group), "user": nil, "target": string(b.Target),
		"negate": b.Negate, "enabled": b.Enabled, "order": b.Order, "timeout": int64(b.Timeout / time.Second), "failure_result": b.FailureResult,
		"policy_obj": none, "group_obj": briefGroup(&core.Group{ID: noID}), "user_obj": briefUser(c, &core.User{}),
	}
	switch {
	case b.Policy != "":
		p, err := c.policyOf(b.Policy)
		if err == nil && c.may("authentik_policies_expression.view_expressionpolicy") {
			out["policy_obj"], err = showPolicy(c, p)
		}
		return out, unlessGone(err)
	case b.Group != "":
		g, err := c.group(b.Group)
		if err == nil && c.may("authentik_core.view_group") {
			out["group_obj"] = briefGroup(g)
		}
		return out, unlessGone(err)
	case b.User != "":
		u, err := c.userOf(b.User)
		if err == nil {
			out["user"] = u.PK
		}
		if err == nil && c.may("authentik_core.view_user") {
			out["user_obj"] = briefUser(c, u)
		}
		return out, unlessGone(err)
	}
	return out, nil
}

// unlessGone: what a binding names may have been deleted since.
func unlessGone(err error) error {
	if errors.Is(err, core.ErrNotFound) {
		return nil
	}
	return err
}
