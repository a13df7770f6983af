package expression

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"go.starlark.net/starlark"

	"github.com/postern-sso/postern/core"
)

// Evaluator runs expressions: the Python of property mappings and policies, in a
// sandbox. Its zero value works; what a field would answer is then an error, or empty.
// It is safe for concurrent use.
type Evaluator struct {
	// Directory answers what an expression asks of users and groups beyond Env.
	Directory Directory
	Log       *slog.Logger     // for ak_logger; default slog.Default
	Now       func() time.Time // the time of events, and now(); default time.Now
	// Events takes what ak_create_event records; nil: it is only logged.
	Events core.Events
	// HashUser gives "uid" of users other than Env.User; nil: theirs is an error.
	HashUser func(t core.TenantID, u *core.User) string
	// HasAuthenticator answers ak_user_has_authenticator. kind is "totp", "static",
	// "webauthn" and so on, or empty for any. Nil: nobody has one.
	HasAuthenticator func(ctx context.Context, t core.TenantID, u core.UserID, kind string) (bool, error)
	// Policies are those that ak_call_policy finds; nil: there are none.
	Policies Policies
	// Entitlements answers user.app_entitlements: what a user, with all groups direct and
	// inherited, may do in an application, ordered by folded name. Nil: nobody has one.
	Entitlements func(ctx context.Context, t core.TenantID, u *core.User, groups []core.Group, app core.ApplicationID) ([]core.Entitlement, error)

	once     sync.Once
	lanes    *lanes
	programs *programs
	patterns *patterns
	names    starlark.StringDict
	methods  *methods
	letters  letters

	uncontrolled bool // tests only: charges are counted and never refused
	spent        func(work, bytes int, steps uint64)
}

// Env is what one evaluation is about.
type Env struct {
	// User is "user" and "request.user". Nil: "user" is not defined, and
	// "request.user" is a user without name, attributes or groups.
	User *core.User
	// Groups are the user's, direct and inherited. Nil: asked of the Directory.
	Groups []core.Group
	// HashedUserID is the user's "uid".
	HashedUserID string
	// Request is "http_request" and "request.http_request". Nil: not defined.
	Request *core.RequestInfo
	// Provider is "provider". Nil: not defined.
	Provider core.Provider
	// Application is "provider.application".
	Application *core.Application
	// Mapping is "request.obj": the mapping that is evaluated.
	Mapping *core.PropertyMapping
	// Object is "request.obj" of a policy: what it is bound to, such as a
	// *core.Application. It wins over Mapping.
	Object any
	// Debug is "request.debug": an administrator tests the expression.
	Debug bool
	// Logged is told what a policy writes to ak_logger, beside the log. Nil: nobody is.
	Logged func(LogLine)
	// Vars are further names, such as token, connection or group; they win over
	// those above, so that nil makes "user" None. Values are JSON-like, or a
	// *core.User, *core.Group, core.Provider, *core.Application or Object. They are also
	// in "request.context".
	Vars map[string]any
	// Context is what else "request.context" holds, and where not nil, "context".
	Context map[string]any
	// Tokens is who signs for ak_create_jwt. Nil: there is nobody to make a token for, and
	// it gives None.
	Tokens Tokens
}

// Object is a value with attributes, for Env.Vars: Object{"Token", map[string]any{"session_id": "…"}}
// is read as token.session_id.
type Object struct {
	Type       string
	Attributes map[string]any
}

func (e *Evaluator) init() {
	e.once.Do(func() {
		e.lanes, e.programs, e.patterns = newLanes(), newPrograms(), newPatterns()
		e.names, e.methods = predeclared(), newMethods()
		e.letters = newLetters()
		if e.Log == nil {
			e.Log = slog.Default()
		}
		if e.Now == nil {
			e.Now = time.Now
		}
	})
}

// Check reports whether a source can be compiled. The error is a *SyntaxError. What
// a name means is known only when it runs, as in Python.
func (e *Evaluator) Check(src string) error {
	e.init()
	place, err := e.lanes.enter(context.Background(), core.DefaultTenant, &cached{})
	if err != nil {
		return err
	}
	defer place.leave()
	_, err = compile(src, e.names)
	return err
}

// Eval runs a source as the body of a function and returns what it returns: nil, bool,
// int64, *big.Int, float64, string, []any or map[string]any. A function with yield returns
// the list of what it yields. The error is a *SyntaxError, or an *Error that may
// wrap ErrSkipObject, ErrLimit, ErrBusy or the error of ctx.
//
// A run is bounded in steps, time and memory whatever the source is; see budget.go.
func (e *Evaluator) Eval(ctx context.Context, t core.TenantID, src string, env Env) (any, error) {
	var out any
	if err := e.run(ctx, t, src, env, nil, func(r *run, v starlark.Value) { out = r.toGo(v, 0) }); err != nil {
		return nil, err
	}
	return out, nil
}

// run runs a source and gives take what it returned. policy is nil for a mapping.
func (e *Evaluator) run(ctx context.Context, t core.TenantID, src string, env Env, policy *frame, take func(*run, starlark.Value)) error {
	e.init()
	source := e.programs.get(src)
	r := &run{Evaluator: e, ctx: ctx, tenant: t, env: &env, source: source, policy: policy}
	outer, inner := ctx.Value(outerKey{}).(*run)
	if inner {
		r.lanes = outer.lanes
	} else {
		place, err := e.lanes.enter(ctx, t, source)
		if err != nil {
			return err
		}
		defer place.leave()
		r.lanes, r.spentCheap = place, place.in != place.fast
	}
	program, err := source.compile(e.names)
	if err != nil {
		return err
	}
	r.start = time.Now() // the real clock: it bounds real time
	if inner {
		defer r.within(outer)()
	}
	r.thread.SetLocal(runKey, r)
	r.thread.Name = "expression"
	r.thread.Print = func(*starlark.Thread, string) {}
	r.thread.SetMaxExecutionSteps(r.nextLook())
	r.thread.OnMaxSteps = r.tooManySteps
	err = r.main(program, take)
	if !inner { // else what was spent is not its own alone
		source.is(t, r.turnedOut())
	}
	if e.spent != nil {
		e.spent(r.work, r.bytes, r.thread.Steps)
	}
	if err != nil {
		return explain(r, err)
	}
	return nil
}

// run is one evaluation: everything it may touch, and what is left of its budget.
type run struct {
	*Evaluator
	budget
	ctx     context.Context
	tenant  core.TenantID
	env     *Env
	thread  starlark.Thread
	source  *cached
	lanes   *place
	stopped *fault
	user    *object // request.user
	request *object
	found   known  // what names stand for, once they were looked up
	policy  *frame // nil: a mapping is evaluated
	spare   []args // for the next calls
	shared  *dict  // the context that policies may change; nil: nobody asked for it yet
}

// runKey names the run in the thread's locals.
const runKey = "run"

// main calls the program, and gives take what it returns.
func (r *run) main(p *program, take func(*run, starlark.Value)) (err error) {
	defer func() {
		if bad := recover(); bad != nil {
			if f, ok := bad.(*fault); ok {
				err = f
				return
			}
			r.Log.ErrorContext(r.ctx, "expression failed within", "panic", bad, "stack", string(debug.Stack()))
			err = &fault{message: "internal error"}
		}
	}()
	v, err := starlark.Call(&r.thread, p.main, nil, nil)
	if err != nil {
		return err
	}
	take(r, v)
	return nil
}

// turnedOut is what the next run of the same program is told.
func (r *run) turnedOut() pace {
	switch {
	case r.stopped != nil && errors.Is(r.stopped.err, ErrLimit):
		return endless
	case r.stopped != nil: // how it would have turned out, nobody knows
		return max(expensive, r.source.paceNow(r.tenant))
	case r.work > cheapWork || r.bytes > cheapBytes || r.thread.Steps > cheapSteps:
		return expensive
	}
	return cheap
}

// nextLook is the count of steps at which the interpreter calls tooManySteps.
func (r *run) nextLook() uint64 {
	if !r.spentCheap {
		return cheapSteps
	}
	return min(maxSteps, r.thread.Steps+maxSteps/naps)
}

// tooManySteps is called by the interpreter when the count is reached: that of the fast
// lane, then each part of the budget in turn.
func (r *run) tooManySteps(thread *starlark.Thread) {
	if r.uncontrolled {
		thread.SetMaxExecutionSteps(1 << 40)
		return
	}
	if thread.Steps < maxSteps {
		defer func() {
			if f, ok := recover().(*fault); ok {
				thread.Cancel(f.message)
			}
		}()
		if !r.spentCheap {
			r.slowDown()
		}
		thread.SetMaxExecutionSteps(r.nextLook())
		r.rest()
		r.clock()
		return
	}
	_ = r.stop("the expression takes too many steps")
	thread.Cancel("too many steps")
}

// lookup finds a name that neither the program nor the language defines.
func (r *run) lookup(name string) starlark.Value {
	if v, ok := r.env.Vars[name]; ok {
		return r.fromGo(v, 0)
	}
	switch name {
	case "request":
		return r.policyRequest()
	case "user":
		return r.requestUser()
	case "http_request":
		return r.httpRequest()
	case "provider":
		return r.provider(r.env.Provider)
	case "ak_client_ip":
		return newAddress(r.env.Request.ClientIP.Unmap())
	case "ak_is_sso_flow":
		v, ok := r.sharedContext().find("is_sso")
		return starlark.Bool(ok && bool(v.Truth()))
	}
	return r.context()
}

// given reports whether lookup finds a name.
func (r *run) given(name string) bool {
	if _, ok := r.env.Vars[name]; ok {
		return true
	}
	switch name {
	case "request":
		return true
	case "user":
		return r.env.User != nil
	case "http_request":
		return r.env.Request != nil
	case "provider":
		return r.env.Provider != nil
	case "context":
		return r.env.Context != nil || r.policy != nil
	case "ak_client_ip":
		return r.env.Request != nil && r.env.Request.ClientIP.IsValid()
	case "ak_is_sso_flow":
		return r.policy != nil
	}
	return false
}

// name is lookup, or the error that says why there is nothing.
func (r *run) name(name string) starlark.Value {
	if v := r.found.value(name); v != nil {
		return v
	}
	if !r.given(name) {
		if why := absentName(name); why != "" {
			fail("%s is not available: %s", name, why)
		}
		fail("name %s is not defined", quote(name))
	}
	v := r.lookup(name)
	if name == "context" || name == "ak_is_sso_flow" {
		return v // a policy that is called by a mapping sees another
	}
	r.found.keep(name, v)
	return v
}

// absentName says why a name of authentik's, or of Python's, does not exist here.
func absentName(name string) string {
	switch name {
	case "requests", "resolve_dns", "reverse_dns":
		return "expressions have no network"
	case "ak_send_email":
		return "expressions send no mail"
	case "ak_client_ip":
		return "there is no request of a browser here"
	case "open", "input", "exec", "eval", "compile", "__import__", "globals", "locals", "vars", "breakpoint", "exit", "quit":
		return "expressions reach nothing outside of themselves"
	case "bytes", "bytearray", "memoryview", "complex", "super", "classmethod", "staticmethod", "property", "object", "setattr", "delattr", "iter", "id", "hash", "dir", "help":
		return "it is no part of this Python"
	}
	return ""
}
