package expression

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.starlark.net/starlark"

	"github.com/postern-sso/postern/core"
)

// Limits of what one run says, and of policies that call policies.
const (
	maxMessages    = 20
	maxMessage     = 500 // bytes of one
	maxPolicyDepth = 5
)

// LogLine is one line of ak_logger.
type LogLine struct {
	Time       time.Time
	Level      string // "debug", "info", "warning" or "error"
	Message    string
	Attributes map[string]string
}

// EvaluatePolicy runs a source as an expression policy. It passes where what it
// returns is true in Python's sense: None, False, zero and what is empty do not pass.
// messages are those of ak_message, at most 20 of 500 bytes each; they are meant for the user.
//
// Env.Context is "context" and "request.context": one dict, which the run may change, and
// which nobody else sees. Env.Object is "request.obj". The error is that of
// [Evaluator.Eval]: whoever decides by the policy has then no answer, and must not take it
// for a yes. What the policy had said until then is returned with it.
func (e *Evaluator) EvaluatePolicy(ctx context.Context, t core.TenantID, source string, env Env) (passed bool, messages []string, err error) {
	said := &frame{sources: []string{source}}
	err = e.run(ctx, t, source, env, said, func(_ *run, v starlark.Value) { passed = bool(v.Truth()) })
	return passed && err == nil, said.messages, err
}

// frame is one policy that is being evaluated: the one that was asked for, or one that it
// calls.
type frame struct {
	messages []string
	sources  []string // its own and those of its callers, outermost first
}

// message is ak_message(text).
func message(r *run, a *args) starlark.Value {
	v := a.bind(1, "message")[0]
	if r.policy == nil {
		fail("ak_message is not available: only policies have messages")
	}
	text := cut(r.str(v), maxMessage)
	r.alloc(len(text) + 32)
	if len(r.policy.messages) < maxMessages {
		r.policy.messages = append(r.policy.messages, text)
	}
	return starlark.None
}

// callPolicy is ak_call_policy(name, **context): what a policy of the same tenant says of the same
// request. The names are added to the context, as in authentik. It spends the budget of
// the run that calls it. A policy that fails is a failure of the caller: taken for a
// "no", one that is negated would let everybody in.
func callPolicy(r *run, a *args) starlark.Value {
	if len(a.pos) != 1 {
		fail("ak_call_policy() takes a name, and what to add to the context: ak_call_policy(\"my policy\", key=\"…\")")
	}
	name := a.text(a.pos[0], "name", "")
	if len(name) > 1000 {
		fail("ak_call_policy(): there is no policy of that name")
	}
	if r.Policies == nil {
		fail("ak_call_policy is not available: there are no policies here")
	}
	var policy *core.ExpressionPolicy
	r.askOther("find a policy by name", func() error {
		p, err := r.Policies.PolicyByName(r.ctx, r.tenant, name)
		if errors.Is(err, core.ErrNotFound) {
			return nil
		}
		policy = p
		return err
	})
	if policy == nil {
		fail("ak_call_policy(): there is no policy of that name")
	}
	src := policy.Expression
	var outer []string
	if r.policy != nil {
		outer = r.policy.sources
	}
	switch {
	case slices.Contains(outer, src):
		fail("ak_call_policy(): policy %s is being evaluated already: policies cannot call themselves", quote(name))
	case len(outer) > maxPolicyDepth:
		fail("ak_call_policy(): policies call one another more than %d deep", maxPolicyDepth)
	}
	given := r.sharedContext()
	for _, pair := range a.kw {
		r.put(&given.table, pair[0], pair[1])
	}
	r.charge(4*len(src) + 1000) // it is compiled once, and who pays for that is chance
	r.alloc(4096 + 40*len(src))
	program, err := r.programs.get(src).compile(r.names)
	if err != nil {
		r.failed(name, err)
	}
	caller := r.policy
	inner := &frame{sources: append(slices.Clone(outer), src)}
	r.policy = inner
	defer func() { r.policy = caller }()
	v, err := starlark.Call(&r.thread, program.main, nil, nil)
	if err != nil {
		r.failed(name, err)
	}
	return r.newPolicyResult(v, inner.messages)
}

// failed ends the run because a policy that it called could not be evaluated.
func (r *run) failed(name string, err error) {
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		fail("policy %s: %s", quote(name), syntax.Error())
	}
	inner, _ := explain(r, err).(*Error) //nolint:errorlint // explain makes no other
	panic(&fault{message: "policy " + quote(name) + ": " + inner.Error(), err: inner.Err})
}

// newPolicyResult is authentik's PolicyResult. Its truth is that of the policy: in authentik
// it is always true, and "return ak_call_policy(…)" lets everybody in.
func (r *run) newPolicyResult(v starlark.Value, messages []string) *object {
	r.alloc(256)
	r.values(len(messages))
	said := make(starlark.Tuple, len(messages))
	for i, m := range messages {
		said[i] = starlark.String(m)
	}
	passing := v.Truth()
	return &object{kind: "PolicyResult", id: itoa(r.work), falsy: !bool(passing), get: func(name string) starlark.Value {
		switch name {
		case "passing":
			return passing
		case "messages":
			return said
		case "raw_result":
			return v
		}
		return nil
	}}
}

// sharedContext is the one dict that a policy, and those that it calls, may change.
func (r *run) sharedContext() *dict {
	if r.shared == nil {
		r.shared, _ = r.givenContext().(*dict)
		thaw(r.shared)
	}
	return r.shared
}
