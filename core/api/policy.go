package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/policy"
)

// Evaluations runs expression policies, for people who test them.
type Evaluations interface {
	EvaluatePolicy(ctx context.Context, t core.TenantID, source string, env expression.Env) (passed bool, messages []string, err error)
}

// policyRoutes are those of policies beside the verbs on expression policies.
func policyRoutes() []route {
	const all, own = "policies/all/", "policies/expression/"
	one := "{policy_uuid}/"
	return append(policies().routes(own, byRight), []route{
		{http.MethodGet, all, "authentik_policies.view_policy", listPolicies, about("List policies of every kind").by(policyParameters()...).lists(policyShape(), policies().listing)},
		{http.MethodGet, all + "types/", "authentik_policies.view_policy", policyTypes, about("List the kinds of policy").gives(listShape(typeShape()))},
		{http.MethodGet, all + one, "authentik_policies.view_policy", policies().serveOne, about("Show a policy of any kind").gives(policyShape())},
		{http.MethodDelete, all + one, "authentik_policies.delete_policy", policies().serveDelete, about("Delete a policy of any kind")},
		{http.MethodPost, all + one + "test/", "authentik_policies_expression.change_expressionpolicy", testPolicy, about("Run a policy as it is stored, for a user").takes("PolicyTestRequest", new(policyTest).read).gives(policyTestShape())},
		{http.MethodGet, all + one + "used_by/", "authentik_policies.view_policy", policyUsedBy, about("List what a policy is bound to").gives(listShape(usedByShape()))},
		{http.MethodGet, own + one + "used_by/", "authentik_policies_expression.view_expressionpolicy", policyUsedBy, about("List what an expression policy is bound to").gives(listShape(usedByShape()))},
	}...)
}

const policyComponent, policyModel = "ak-policy-expression-form", "authentik_policies_expression.expressionpolicy"

// policyShape is what policies of every kind have.
func policyShape() shape {
	members := append([]member{always("pk", uuidShape()), always("name", textShape()), always("execution_logging", booleanShape())}, kindMembers()...)
	return objectShape("Policy", append(members, always("bound_to", integerShape()))...)
}

func policies() *resource[core.ExpressionPolicy] {
	return &resource[core.ExpressionPolicy]{
		model: "ExpressionPolicy", app: "authentik_policies_expression", verbose: "Expression Policy", key: "policy_uuid",
		members: append([]member{always("pk", uuidShape()), always("bound_to", integerShape())}, kindMembers()...),
		listing: listing{
			filters: map[string]filter{
				"policy_uuid": byUUID, "name": byText, "expression": byText, "execution_logging": byBool, "created": byTime, "last_updated": byTime,
			},
			order:  []string{"name", "created", "last_updated", "pk"},
			preset: []string{"name"},
		},
		find: func(c *call, key string) (*core.ExpressionPolicy, error) {
			id, valid := uuid(key)
			if !valid {
				return nil, core.ErrNotFound
			}
			return c.Store.Policy(c.ctx(), c.t, core.PolicyID(id))
		},
		page: func(c *call, q Query) ([]core.ExpressionPolicy, int, error) {
			return c.Store.ListPolicies(c.ctx(), c.t, q)
		},
		create: func(c *call, p *core.ExpressionPolicy) error { return c.Store.CreatePolicy(c.ctx(), c.t, p) },
		update: func(c *call, key string, change func(*core.ExpressionPolicy) error) (*core.ExpressionPolicy, error) {
			id, _ := uuid(key)
			return c.Store.UpdatePolicy(c.ctx(), c.t, core.PolicyID(id), change)
		},
		remove: func(c *call, key string) error {
			id, _ := uuid(key)
			return c.Store.DeletePolicy(c.ctx(), c.t, core.PolicyID(id))
		},
		fresh: func(*call) *core.ExpressionPolicy { return &core.ExpressionPolicy{} },
		read: func(f *fields, p *core.ExpressionPolicy) {
			text(f, "name", rule{required: true, max: 1000}, &p.Name)
			boolean(f, "execution_logging", &p.Logging)
			text(f, "expression", rule{required: true, lines: true, max: 64 << 10}, &p.Expression)
		},
		check: func(c *call, f *fields, p, _ *core.ExpressionPolicy) error {
			if !f.has("expression") || len(f.errs["expression"]) > 0 {
				return nil
			}
			if c.Expressions == nil {
				return errors.New("no expression parser is set up")
			}
			if err := c.Expressions.Check(p.Expression); err != nil {
				f.fail("expression", "Expression Syntax Error: "+err.Error())
			}
			return nil
		},
		gather: gatherPolicies,
		show:   func(c *call, p *core.ExpressionPolicy) (any, error) { return showPolicy(c, p) },
		label:  func(p *core.ExpressionPolicy) (string, string) { return string(p.ID), p.Name },
	}
}

func showPolicy(c *call, p *core.ExpressionPolicy) (object, error) {
	bound, err := c.bound(p.ID)
	if err != nil {
		return nil, err
	}
	return object{
		"pk": string(p.ID), "name": p.Name, "execution_logging": p.Logging, "expression": p.Expression, "bound_to": bound,
		"component": policyComponent, "verbose_name": "Expression Policy", "verbose_name_plural": "Expression Policies", "meta_model_name": policyModel,
	}, nil
}

// policyParameters are those of the list of all kinds beside its filters.
func policyParameters() []parameter {
	return []parameter{
		{name: "bindings__isnull", kind: byBool, text: "Only what is bound to nothing, or only what is bound."},
		{name: "promptstage__isnull", kind: byBool, text: "There are no prompt stages: false finds nothing."},
	}
}

func listPolicies(c *call) (reply, error) {
	q, p, err := c.query()
	if err != nil {
		return reply{}, err
	}
	unbound := c.param("bindings__isnull")
	switch {
	case c.param("promptstage__isnull") == "false":
		return envelope(p, 0, nil)
	case unbound == "":
		rows, count, err := c.Store.ListPolicies(c.ctx(), c.t, q)
		if err != nil {
			return reply{}, err
		}
		return policies().showPage(c, p, count, rows)
	}
	rows, err := every(q, func(q Query) ([]core.ExpressionPolicy, int, error) { return c.Store.ListPolicies(c.ctx(), c.t, q) })
	if err != nil {
		return reply{}, err
	}
	if err := gatherPolicies(c, rows); err != nil {
		return reply{}, err
	}
	rows = slices.DeleteFunc(rows, func(row core.ExpressionPolicy) bool {
		n, wrong := c.bound(row.ID)
		err = errors.Join(err, wrong)
		return (n == 0) != (unbound == "true")
	})
	if err != nil {
		return reply{}, err
	}
	return policies().showPage(c, p, len(rows), cut(rows, p))
}

func typeShape() shape {
	return objectShape("TypeCreate", append(texts("name", "description", "component", "model_name"), always("requires_enterprise", booleanShape()))...)
}

// policyTypes lists the kinds of policy that can be made.
func policyTypes(*call) (reply, error) {
	return ok([]object{{
		"name": "Expression Policy", "description": "A Python expression that says yes or no.", "component": policyComponent,
		"model_name": "expressionpolicy", "requires_enterprise": false,
	}})
}

// policyTest is for whom a policy is tried, and with what in its context.
type policyTest struct {
	user    int64
	context map[string]any
}

func (t *policyTest) read(f *fields) {
	integer(f, "user", rule{required: true}, &t.user)
	dict(f, "context", &t.context)
}

// testPolicy runs a policy as it is stored: an expression in the body has no effect, so
// that who may test a policy runs no other.
func testPolicy(c *call) (reply, error) {
	p, err := policies().find(c, c.key)
	if err != nil {
		return reply{}, found(err, "Policy")
	}
	var test policyTest
	test.read(c.body)
	if err := c.body.err(); err != nil {
		return reply{}, err
	}
	if test.user != c.user.PK {
		if err := c.require("authentik_core.view_user"); err != nil {
			return reply{}, err
		}
	}
	user, err := c.Store.UserByPK(c.ctx(), c.t, test.user)
	if errors.Is(err, core.ErrNotFound) {
		return reply{}, invalid{"user": {noPK(strconv.FormatInt(test.user, 10))}}
	}
	if err != nil {
		return reply{}, err
	}
	if user.ID != c.user.ID && !c.may("authentik_core.view_user") {
		return reply{}, errPermission
	}
	groups, err := c.Store.UserGroups(c.ctx(), c.t, user.ID)
	if err != nil {
		return reply{}, err
	}
	if c.Evaluations == nil {
		return reply{}, errors.New("nothing that runs policies is set up")
	}
	log := []object{}
	passed, messages, err := c.Evaluations.EvaluatePolicy(c.ctx(), c.t, p.Expression, expression.Env{
		User: user, Groups: list(groups), HashedUserID: user.HashedID(c.info.Tenant.UUID), Request: c.info, Context: orEmpty(test.context), Debug: true,
		Logged: func(l expression.LogLine) { log = append(log, lineEvent(l, p.Name)) },
	})
	switch {
	case errors.Is(err, expression.ErrBusy):
		return reply{}, errors.Join(core.ErrBusy, err)
	case c.ctx().Err() != nil:
		return reply{}, c.ctx().Err()
	case err != nil:
		messages = append(messages, err.Error())
		log = append(log, c.logEvent("error", err.Error(), p.Name, nil))
	}
	return ok(object{"passing": passed && err == nil, "messages": list(messages), "log_messages": log})
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

func usedByShape() shape {
	return objectShape("UsedBy", append(texts("app", "model_name", "pk", "name"),
		always("action", choiceShape("cascade", "cascade_many", "set_null", "set_default", "left_dangling")))...)
}

// policyUsedBy lists the bindings of a policy, which its end would leave without one: they
// let nobody pass then.
func policyUsedBy(c *call) (reply, error) {
	p, err := policies().find(c, c.key)
	if err != nil {
		return reply{}, found(err, "Policy")
	}
	q := Query{Where: map[string][]string{"policy": {string(p.ID)}}, Order: []string{"target", "order"}}
	rows, err := every(q, func(q Query) ([]policy.Binding, int, error) { return c.Store.ListBindings(c.ctx(), c.t, q) })
	if err != nil {
		return reply{}, err
	}
	out := []object{}
	for i := range rows {
		if !c.may("authentik_policies.view_policybinding") {
			break
		}
		out = append(out, object{
			"app": "authentik_policies", "model_name": "policybinding", "pk": string(rows[i].ID),
			"name": bindingName(&rows[i]), "action": "left_dangling",
		})
	}
	return ok(out)
}
