package policy_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/policy"
)

var errDisk = errors.New("disk on fire")

// world is a store and an evaluator whose expressions are words: "yes", "no", "raise",
// "busy", "slow", "say <text>", or "from <address>".
type world struct {
	*policy.Engine
	t            testing.TB
	mu           sync.Mutex
	now          time.Time
	rules        []policy.Rule
	entitlements []core.Entitlement
	events       []core.Event
	reads        int
	runs         []string
	broken       error
	unread       error // what Record answers
	reading      func()
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	w.Engine = &policy.Engine{Store: store{w}, Expressions: w, Events: w, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)}
	return w
}

// store is apart from the engine, which has an Entitlements of its own.
type store struct{ *world }

func (s store) Rules(context.Context, core.TenantID) ([]policy.Rule, error) {
	s.mu.Lock()
	s.reads++
	list, err := append([]policy.Rule(nil), s.rules...), s.broken
	reading := s.reading
	s.mu.Unlock()
	if reading != nil {
		reading()
	}
	return list, err
}

func (s store) Entitlements(context.Context, core.TenantID) ([]core.Entitlement, error) {
	return s.entitlements, s.broken
}

func (s store) Denial(_ context.Context, _ core.TenantID, id string) (*core.Event, error) {
	for i := range s.events {
		if s.events[i].Message == id {
			return &s.events[i], nil
		}
	}
	return nil, fmt.Errorf("read: %w", errors.Join(s.broken, core.ErrNotFound))
}

func (w *world) Record(_ context.Context, _ core.TenantID, e core.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
	return w.unread
}

func (w *world) EvaluatePolicy(ctx context.Context, _ core.TenantID, source string, env expression.Env) (bool, []string, error) {
	w.mu.Lock()
	w.runs = append(w.runs, source)
	w.mu.Unlock()
	word, rest, _ := strings.Cut(source, " ")
	switch word {
	case "yes":
		return true, nil, nil
	case "raise":
		return false, nil, &expression.Error{Line: 3, Message: "it raised"}
	case "busy":
		return false, nil, &expression.Error{Message: "too many", Err: expression.ErrBusy}
	case "slow":
		<-ctx.Done()
		return true, nil, &expression.Error{Message: "stopped", Err: ctx.Err()}
	case "say":
		return false, []string{rest}, nil
	case "from":
		return env.Request.ClientIP.String() == rest, nil, nil
	case "scope":
		return fmt.Sprint(env.Context["oauth_scopes"]) == rest, nil, nil
	}
	return false, nil, nil
}

const target = policy.TargetID("app")

// rule reads "user:u", "group:g", "policy:<source>", each with "!" before it where negated,
// "gone " where deleted, and "+" where a failure passes.
func rule(i int, text string) policy.Rule {
	r := policy.Rule{Binding: policy.Binding{ID: policy.BindingID(fmt.Sprint("b", i)), Target: target, Order: int64(i), Enabled: true}}
	text, r.Gone = strings.CutPrefix(text, "gone ")
	text, r.FailureResult = strings.CutPrefix(text, "+")
	text, r.Negate = strings.CutPrefix(text, "!")
	kind, what, _ := strings.Cut(text, ":")
	switch kind {
	case "user":
		r.User = core.UserID(what)
	case "group":
		r.Group = core.GroupID(what)
	case "policy":
		r.Policy, r.Source = core.PolicyID(what), what
	}
	r.Name = what
	return r
}

func (w *world) bind(texts ...string) {
	w.mu.Lock()
	w.rules = nil
	for i, text := range texts {
		w.rules = append(w.rules, rule(i, text))
	}
	w.mu.Unlock()
	w.Invalidate("public", core.Change{Kind: "binding"})
}

var alice = core.User{ID: "alice", UserName: "alice", Active: true}

func request(mode string) policy.Request {
	u := alice
	return policy.Request{
		Application: &core.Application{ID: core.ApplicationID(target), Slug: "app", Name: "The App", PolicyMode: mode},
		User:        &u, Groups: []core.Group{{ID: "people", Name: "people"}, {ID: "staff", Name: "Staff"}},
	}
}

func from(t testing.TB, address string) context.Context {
	return core.WithRequest(t.Context(), &core.RequestInfo{ClientIP: netip.MustParseAddr(address), URI: "/x?secret=1", Scheme: "https", Host: "app.test"})
}

// TestDecide is the table of decisions. Each row has its contrary near by.
func TestDecide(t *testing.T) {
	for _, c := range []struct {
		mode  string
		rules string // separated by ", "
		want  bool
		why   string // in the trace
		runs  string // expressions that ran
	}{
		{"any", "", true, "open to every active user", ""},
		{"all", "", true, "open to every active user", ""},

		{"any", "user:alice", true, `user "alice" (order 0): passed`, ""},
		{"any", "user:bob", false, `user "bob" (order 0): did not pass`, ""},
		{"any", "!user:bob", true, `not user "bob"`, ""},
		{"any", "!user:alice", false, "no binding passed", ""},
		{"any", "group:staff", true, `group "staff"`, ""},
		{"any", "group:board", false, "no binding passed", ""},
		{"any", "!group:board", true, `not group "board"`, ""},
		{"any", "!group:staff", false, "no binding passed", ""},
		{"any", "policy:yes", true, `policy "yes"`, "yes"},
		{"any", "policy:no", false, "no binding passed", "no"},
		{"any", "!policy:no", true, `not policy "no"`, "no"},
		{"any", "!policy:yes", false, "no binding passed", "yes"},

		{"any", "group:board, user:alice", true, `decided by user "alice"`, ""},
		{"any", "group:board, user:bob", false, "no binding passed", ""},
		{"all", "group:staff, user:alice", true, "all bindings passed", ""},
		{"all", "group:staff, user:bob", false, `decided by user "bob"`, ""},
		{"all", "group:board, user:alice", false, `decided by group "board"`, ""},
		{"all", "policy:yes, !policy:no", true, "all bindings passed", "yes no"},
		{"all", "policy:yes, policy:no, policy:yes", false, `decided by policy "no"`, "yes no"},
		{"any", "policy:no, policy:yes, policy:no", true, `decided by policy "yes"`, "no yes"},

		// What is known without running anything is looked at first.
		{"any", "policy:no, group:staff", true, `policy "no" (order 0): not needed`, ""},
		{"all", "policy:yes, group:board", false, `policy "yes" (order 0): not needed`, ""},
		{"any", "policy:yes, group:board", true, `decided by policy "yes"`, "yes"},
		{"all", "policy:yes, group:staff", true, "all bindings passed", "yes"},

		// E-08: what goes wrong denies, unless the binding says otherwise.
		{"any", "policy:raise", false, "failed: line 3: it raised", "raise"},
		{"any", "+policy:raise", true, "counts as passed", "raise"},
		{"any", "!policy:raise", false, "failed", "raise"}, // negate does not turn a failure into a pass
		{"any", "+!policy:raise", true, "counts as passed", "raise"},
		{"all", "policy:raise, policy:yes", false, "failed", "raise"},
		{"all", "+policy:raise, policy:yes", true, "all bindings passed", "raise yes"},
		{"any", "policy:raise, policy:yes", true, `decided by policy "yes"`, "raise yes"},
		{"any", "+policy:busy", true, "counts as passed", "busy"},

		// What is bound and was deleted does not pass, whatever the binding says.
		{"any", "gone group:staff", false, "the group was deleted", ""},
		{"any", "gone !group:board", false, "the group was deleted", ""},
		{"all", "gone !group:board, user:alice", false, "the group was deleted", ""},
		{"any", "gone policy:yes", false, "the policy was deleted", ""},
		{"any", "gone +!policy:yes", false, "the policy was deleted", ""},
		{"any", "gone group:staff, user:alice", true, `decided by user "alice"`, ""},
		{"any", "gone user:bob", false, "no binding passed", ""},
		{"all", "gone !user:bob, user:alice", true, "all bindings passed", ""}, // nobody will ever be bob again

		{"", "group:board, group:staff", true, `decided by group "staff"`, ""},
		{"first", "group:board, group:staff", false, `decided by group "board"`, ""}, // a mode that is not known asks for all
	} {
		w := newWorld(t)
		if c.rules != "" {
			w.bind(strings.Split(c.rules, ", ")...)
		}
		d, err := w.Decide(t.Context(), "public", request(c.mode))
		if err != nil {
			t.Errorf("%s %s: %v", c.mode, c.rules, err)
			continue
		}
		trace := strings.Join(d.Trace(), "\n")
		if d.Allowed != c.want || !strings.Contains(trace, c.why) {
			t.Errorf("%s %q: allowed %v\n%s", c.mode, c.rules, d.Allowed, trace)
		}
		if runs := strings.Join(w.runs, " "); runs != c.runs || d.Fixed != (c.runs == "") {
			t.Errorf("%s %q: ran %q, fixed %v", c.mode, c.rules, runs, d.Fixed)
		}
		if d.ID != "" || len(w.events) > strings.Count(c.runs, "raise")+strings.Count(c.runs, "busy") {
			t.Errorf("%s %q: a decision that nobody met has an ID or an event: %q %v", c.mode, c.rules, d.ID, w.events)
		}
	}
}

// Nobody is exempt: neither superusers nor those whom allow_groups names.
func TestDecideWho(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*policy.Request)
		want   bool
	}{
		{"active", func(*policy.Request) {}, true},
		{"nobody", func(q *policy.Request) { q.User = nil }, false},
		{"not active", func(q *policy.Request) { q.User.Active = false }, false},
		{"allow_groups and the binding", func(q *policy.Request) { q.Application.AllowGroups = []string{"board", "Staff"} }, true},
		{"only the binding", func(q *policy.Request) { q.Application.AllowGroups = []string{"board"} }, false},
		{"allow_groups compares letter by letter", func(q *policy.Request) { q.Application.AllowGroups = []string{"staff"} }, false},
		{"only allow_groups", func(q *policy.Request) {
			q.Application.AllowGroups, q.User = []string{"Staff"}, &core.User{ID: "bob", Active: true}
		}, false},
		{"a superuser", func(q *policy.Request) {
			q.User, q.Groups = &core.User{ID: "root", Active: true}, []core.Group{{ID: "admins", Superuser: true}}
		}, false},
		{"another application", func(q *policy.Request) { q.User, q.Application.ID = &core.User{ID: "bob", Active: true}, "other" }, true},
	} {
		w := newWorld(t)
		w.bind("user:alice")
		q := request("any")
		c.change(&q)
		d, err := w.Decide(t.Context(), "public", q)
		if err != nil || d.Allowed != c.want || d.Reason == "" {
			t.Errorf("%s: %+v, %v", c.name, d, err)
		}
	}
}

// F-12: without an answer of the store there is no decision; nor where too much is under way,
// or the request is over.
func TestNoDecision(t *testing.T) {
	w := newWorld(t)
	w.broken = errDisk
	if d, err := w.Decide(t.Context(), "public", request("any")); d != nil || !errors.Is(err, errDisk) {
		t.Errorf("store: %+v, %v", d, err)
	}
	if _, err := w.Entitlements(t.Context(), "public", &alice, nil, "app"); !errors.Is(err, errDisk) {
		t.Errorf("entitlements: %v", err)
	}
	w.broken = nil
	w.bind("policy:busy")
	if _, err := w.Decide(t.Context(), "public", request("any")); !errors.Is(err, core.ErrBusy) {
		t.Errorf("busy: %v", err)
	}
	w.bind("+policy:slow")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Decide(ctx, "public", request("any")); !errors.Is(err, context.Canceled) {
		t.Errorf("a request that is over: %v", err)
	}
	// Control: the same with all in order.
	w.bind("policy:yes")
	if d, err := w.Decide(t.Context(), "public", request("any")); err != nil || !d.Allowed {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestTimeout(t *testing.T) {
	w := newWorld(t)
	for text, want := range map[string]bool{"policy:slow": false, "+policy:slow": true, "!policy:slow": false} {
		w.bind(text)
		w.mu.Lock()
		w.rules[0].Timeout = time.Millisecond
		w.mu.Unlock()
		w.Invalidate("public", core.Change{Kind: "binding"})
		d, err := w.Decide(t.Context(), "public", request("any"))
		if err != nil || d.Allowed != want || !strings.Contains(d.Steps[0].Error, "longer than the 1ms") || d.Doubtful == want {
			t.Errorf("%s: %+v, %v", text, d, err)
		}
	}
}
