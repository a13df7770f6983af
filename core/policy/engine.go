package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// Engine decides. It is safe for concurrent use, and its fields do not change once it is
// used.
type Engine struct {
	Store       Store
	Expressions Expressions
	Events      core.Events      // refusals and logged runs; nil: none are recorded
	Now         func() time.Time // nil: time.Now
	Log         *slog.Logger     // nil: slog.Default

	tenants sync.Map // core.TenantID to *tenantRules
	recent  recent
}

func (e *Engine) now() time.Time {
	if e.Now == nil {
		return time.Now()
	}
	return e.Now()
}

func (e *Engine) log() *slog.Logger {
	if e.Log == nil {
		return slog.Default()
	}
	return e.Log
}

// Decide answers whether a user may open an application. An error means that there is
// no decision: the store did not answer, the request ended, or too much is under way
// (core.ErrBusy). The caller must not let anybody in then.
func (e *Engine) Decide(ctx context.Context, t core.TenantID, q Request) (*Decision, error) {
	d := &Decision{Request: q, Mode: mode(q.Application), Fixed: true}
	if q.User == nil || !q.User.Active {
		return d.deny("the user is not active"), nil
	}
	if ask := q.Application.AllowGroups; len(ask) > 0 {
		s := Step{Kind: "allow_groups", Name: fmt.Sprint(ask), Result: NotPassed}
		for i := range q.Groups {
			if slices.Contains(ask, q.Groups[i].Name) {
				s.Name, s.Result, s.Pass = q.Groups[i].Name, Passed, true
				break
			}
		}
		if d.Steps = append(d.Steps, s); !s.Pass {
			d.Steps[0].Decides = true
			return d.deny(fmt.Sprintf("the user is in none of the groups that allow_groups names: %q", ask)), nil
		}
	}
	rules, err := e.rules(ctx, t)
	if err != nil {
		return nil, err
	}
	list := rules.byTarget[TargetID(q.Application.ID)]
	if len(list) == 0 {
		if len(d.Steps) > 0 {
			d.Steps[0].Decides = true
			return d.allow(fmt.Sprintf("the user is in group %q, which allow_groups names", d.Steps[0].Name)), nil
		}
		return d.allow("the application has no enabled binding: open to every active user"), nil
	}
	return d, e.weigh(ctx, t, d, list)
}

// mode reads how many bindings must pass. What is neither "any" nor empty asks for all.
func mode(app *core.Application) string {
	if app.PolicyMode == "any" || app.PolicyMode == "" {
		return "any"
	}
	return "all"
}

// weigh goes through the rules: users and groups first, then expressions, until it is
// settled.
func (e *Engine) weigh(ctx context.Context, t core.TenantID, d *Decision, list []Rule) error {
	enough := d.Mode == "any" // the result that settles it at once
	first, settled := len(d.Steps), -1
	for i := range list {
		s := d.static(&list[i])
		d.Steps = append(d.Steps, s)
		if settled < 0 && s.Result != NotNeeded && s.Pass == enough {
			settled = first + i
		}
	}
	for i := range list {
		r, s := &list[i], &d.Steps[first+i]
		if settled >= 0 {
			break
		}
		if r.Policy == "" || r.Gone {
			continue
		}
		d.Fixed = false
		if err := e.run(ctx, t, d, r, s); err != nil {
			return err
		}
		if s.Pass == enough {
			settled = first + i
		}
	}
	allowed := !enough
	if settled >= 0 {
		allowed = enough
		d.Steps[settled].Decides = true
		d.Reason = fmt.Sprintf("decided by %s (mode %s)", d.Steps[settled].String(), d.Mode)
	} else if allowed {
		d.Reason = "all bindings passed (mode all)"
	} else {
		d.Reason = "no binding passed (mode any)"
	}
	if allowed {
		d.allow(d.Reason)
		return nil
	}
	d.deny(d.Reason)
	for i := range d.Steps {
		s := &d.Steps[i]
		d.Doubtful = d.Doubtful || s.Result == Failed && !s.Pass && (settled < 0 || s.Decides)
	}
	return nil
}

// static is the step of a rule as far as it is known without running anything.
func (d *Decision) static(r *Rule) Step {
	s := Step{Binding: r.ID, Name: r.Name, Order: r.Order, Negate: r.Negate, Result: NotPassed}
	switch {
	case r.User != "":
		s.Kind = "user"
		s.Pass = (r.User == d.Request.User.ID) != r.Negate
		if r.Gone {
			s.Name = string(r.User) // deleted: nobody has this ID, nor ever will
		}
	case r.Group != "":
		s.Kind = "group"
		s.Pass = !r.Gone && r.member(d.Request.Groups) != r.Negate
		if r.Gone {
			s.Name, s.Result, s.Error = string(r.Group), Gone, "the group was deleted"
		}
	default:
		s.Kind = "policy"
		s.Result = NotNeeded
		if r.Gone {
			s.Name, s.Result, s.Error = string(r.Policy), Gone, "the policy was deleted"
		}
	}
	if s.Pass {
		s.Result = Passed
	}
	return s
}

func (r *Rule) member(groups []core.Group) bool {
	return slices.ContainsFunc(groups, func(g core.Group) bool { return g.ID == r.Group })
}

// run evaluates an expression policy. An error is one of the server's, not of the policy.
func (e *Engine) run(ctx context.Context, t core.TenantID, d *Decision, r *Rule, s *Step) error {
	within := ctx
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, r.Timeout)
		defer cancel()
	}
	var logged func(expression.LogLine)
	if d.Request.Logged {
		logged = func(l expression.LogLine) { s.Log = append(s.Log, l) }
	}
	begun := time.Now() // the real clock: it measures
	passed, messages, err := e.Expressions.EvaluatePolicy(within, t, r.Source, expression.Env{
		User: d.Request.User, Groups: known(d.Request.Groups), Request: core.Request(ctx),
		Application: d.Request.Application, Object: d.Request.Application, Context: given(d.Request.Context), Logged: logged,
	})
	s.Duration = time.Since(begun)
	switch {
	case err == nil:
		s.Pass = passed != r.Negate
		s.Result = NotPassed
		if s.Pass {
			s.Result = Passed
		}
	case ctx.Err() != nil:
		return fmt.Errorf("run policy %q: %w", r.Name, ctx.Err())
	case errors.Is(err, expression.ErrBusy) && !r.FailureResult:
		return fmt.Errorf("run policy %q: %w: %w", r.Name, core.ErrBusy, err)
	default:
		s.Result, s.Pass, s.Error = Failed, r.FailureResult, err.Error()
		if within.Err() != nil {
			s.Error = fmt.Sprintf("it ran longer than the %s of its binding", r.Timeout)
		}
		e.log().WarnContext(ctx, "policy failed", "tenant", t, "policy", r.Name, "user", d.Request.User.UserName,
			"application", d.Request.Application.Slug, "error", s.Error, "counts_as_passed", s.Pass)
	}
	s.Messages = messages
	d.Messages = append(d.Messages, messages...)
	if r.Logging || err != nil {
		e.executed(ctx, t, d, r, s)
	}
	return nil
}

// known and given: nil would mean "ask the directory" and "not defined".
func known(groups []core.Group) []core.Group {
	if groups == nil {
		return []core.Group{}
	}
	return groups
}

func given(context map[string]any) map[string]any {
	if context == nil {
		return map[string]any{}
	}
	return context
}

func (d *Decision) allow(why string) *Decision {
	d.Allowed, d.Reason = true, why
	return d
}

func (d *Decision) deny(why string) *Decision {
	d.Allowed, d.Reason = false, why
	return d
}
