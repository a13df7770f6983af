package policy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/policy"
)

// refuse decides and lets somebody meet the denial.
func (w *world) refuse(ctx context.Context, q policy.Request) *policy.Decision {
	w.t.Helper()
	d, err := w.Decide(ctx, "public", q)
	if err != nil || d.Allowed {
		w.t.Fatalf("%+v, %v", d, err)
	}
	w.Refuse(ctx, "public", d, "guard")
	return d
}

// A refusal is an event that says everything an administrator needs, and nothing secret.
func TestRefuse(t *testing.T) {
	w := newWorld(t)
	w.bind("group:board", "policy:say Come in office hours.", "policy:raise")
	d := w.refuse(from(t, "192.0.2.1"), request("any"))
	if len(d.ID) != 12 || strings.Join(d.Notice(), "") != "Come in office hours." {
		t.Errorf("decision %q, notice %q", d.ID, d.Notice())
	}
	if len(w.events) != 2 || w.events[0].Action != core.EventPolicyException {
		t.Fatalf("events: %+v", w.events)
	}
	e := w.events[1]
	if e.Action != core.EventDenied || e.Message != d.ID || e.User != "alice" || e.UserName != "alice" || e.Application != "app" || e.Address != "192.0.2.1" || e.Time != w.now {
		t.Errorf("event: %+v", e)
	}
	r, err := w.Explain(t.Context(), "public", d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if r.Decision != d.ID || r.Where != "guard" || r.User != "alice" || r.Slug != "app" || r.Application != "The App" || r.ClientIP != "192.0.2.1" ||
		r.Path != "/x" || r.Mode != "any" || r.Reason != "no binding passed (mode any)" || strings.Join(r.Groups, " ") != "people Staff" || !r.Time.Equal(w.now) {
		t.Errorf("record: %+v", r)
	}
	var rules []string
	for _, rule := range r.Rules {
		rules = append(rules, fmt.Sprintf("%s %s %d %s %v %s %v", rule.Kind, rule.Name, rule.Order, rule.Result, rule.Passed, rule.Error, rule.Messages))
	}
	if got := strings.Join(rules, "\n"); got != `group board 0 did not pass false  []
policy say Come in office hours. 1 did not pass false  [Come in office hours.]
policy raise 2 failed false line 3: it raised []` {
		t.Errorf("rules:\n%s", got)
	}
	if text := fmt.Sprint(e.Context); strings.Contains(text, "secret") {
		t.Errorf("the query is in the event: %s", text)
	}
	if at, ok := e.Context["time"]; ok {
		t.Errorf("the event says a time beside its own: %v", at)
	}
	// From the audit log, as after a restart, it reads the same.
	again, err := policy.Explain(t.Context(), store{w}, "public", d.ID)
	one, _ := json.Marshal(r)
	two, _ := json.Marshal(again)
	if err != nil || string(one) != string(two) {
		t.Errorf("%s\n%s, %v", one, two, err)
	}
}

func TestExplainUnknown(t *testing.T) {
	w := newWorld(t)
	w.bind("group:board")
	d := w.refuse(t.Context(), request("any"))
	for _, id := range []string{"", "nope", strings.ToLower(d.ID) + "x", strings.Repeat("x", 100)} {
		if r, err := w.Explain(t.Context(), "public", id); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%.20q: %+v, %v", id, r, err)
		}
	}
	// What is in memory is one tenant's alone.
	w.events = nil
	if r, err := w.Explain(t.Context(), "t_b", d.ID); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("another tenant: %+v, %v", r, err)
	}
	if _, err := w.Explain(t.Context(), "public", d.ID); err != nil { // control
		t.Error(err)
	}
}

// Whoever hammers a page that refuses them does not fill the log, and every ID that a
// page shows can be explained.
func TestRefuseIsJoinedAndBounded(t *testing.T) {
	w := newWorld(t)
	w.bind("group:board")
	first := w.refuse(from(t, "192.0.2.1"), request("any")).ID
	for range 1000 {
		if id := w.refuse(from(t, "192.0.2.1"), request("any")).ID; id != first {
			t.Fatalf("the same refusal has IDs %s and %s", first, id)
		}
	}
	if len(w.events) != 1 {
		t.Fatalf("%d events", len(w.events))
	}
	// Control: what is not the same is not joined.
	other := request("any")
	other.User = &core.User{ID: "bob", UserName: "bob", Active: true}
	ids := map[string]bool{first: true, w.refuse(from(t, "192.0.2.2"), request("any")).ID: true, w.refuse(from(t, "192.0.2.1"), other).ID: true}
	w.bind("group:board", "user:bob")
	ids[w.refuse(from(t, "192.0.2.1"), request("any")).ID] = true
	w.now = w.now.Add(11 * time.Minute)
	ids[w.refuse(from(t, "192.0.2.1"), request("any")).ID] = true
	if len(ids) != 5 || len(w.events) != 5 {
		t.Errorf("%d IDs, %d events, want 5 of each", len(ids), len(w.events))
	}
	// Many addresses: bounded for each person, and another is still heard.
	w.now = w.now.Add(time.Minute)
	before, last := len(w.events), ""
	for i := range 200 {
		last = w.refuse(from(t, fmt.Sprintf("2001:db8::%x", i+1)), request("any")).ID
	}
	if n := len(w.events) - before; n != 30 {
		t.Errorf("%d events of one person in a minute", n)
	}
	if _, err := w.Explain(t.Context(), "public", last); err != nil {
		t.Errorf("a refusal that is not in the log is not explained: %v", err)
	}
	carol := request("any")
	carol.User = &core.User{ID: "carol", UserName: "carol", Active: true}
	before = len(w.events)
	w.refuse(from(t, "192.0.2.9"), carol)
	if len(w.events) != before+1 {
		t.Error("one person's refusals keep another's out of the log")
	}
}

// An event is bounded however much there is to say, and keeps what decides.
func TestRecordIsBounded(t *testing.T) {
	w := newWorld(t)
	var texts []string
	for range 300 {
		texts = append(texts, "!group:"+strings.Repeat("ü", 200))
	}
	w.bind(append(texts, "policy:say "+strings.Repeat("é", 5000), "policy:no")...)
	q := request("all")
	for i := range 2000 {
		q.Groups = append(q.Groups, core.Group{ID: core.GroupID(fmt.Sprint(i)), Name: strings.Repeat("g\xff", 100)})
	}
	d := w.refuse(from(t, "192.0.2.1"), q)
	text, err := json.Marshal(w.events[len(w.events)-1].Context)
	if err != nil || len(text) > 15<<10 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	r, err := w.Explain(t.Context(), "public", d.ID)
	if err != nil {
		t.Fatal(err)
	}
	decides := 0
	for _, rule := range r.Rules {
		if rule.Decides {
			decides++
		}
	}
	if decides != 1 || r.LeftOut+len(r.Rules)+len(r.Groups) != 302+2002 {
		t.Errorf("%d rules decide; %d left out, %d rules, %d groups", decides, r.LeftOut, len(r.Rules), len(r.Groups))
	}
	if n := d.Notice(); len(n) != 1 || len(n[0]) > 310 {
		t.Errorf("notice of %d: %d bytes", len(n), len(n[0]))
	}
}

// A log that cannot be written stops nothing.
func TestRefuseWithoutALog(t *testing.T) {
	w := newWorld(t)
	w.bind("group:board")
	w.unread = errDisk
	if d := w.refuse(t.Context(), request("any")); d.ID == "" {
		t.Error("no ID")
	}
	w.Events = nil
	if d := w.refuse(from(t, "192.0.2.3"), request("any")); d.ID == "" {
		t.Error("no ID")
	}
}

// Execution logging and exceptions are events, bounded too.
func TestExecutionIsLogged(t *testing.T) {
	w := newWorld(t)
	w.bind("policy:yes")
	decide := func() {
		t.Helper()
		if _, err := w.Decide(t.Context(), "public", request("any")); err != nil {
			t.Fatal(err)
		}
	}
	decide()
	if len(w.events) != 0 {
		t.Fatalf("a run that nobody wants logged: %+v", w.events)
	}
	w.rules[0].Logging = true
	w.Invalidate("public", core.Change{Kind: "policy"})
	for range 100 {
		decide()
	}
	if len(w.events) != 30 || w.events[0].Action != core.EventPolicyExecution || w.events[0].Message != "policy yes: passed" {
		t.Errorf("%d events: %+v", len(w.events), w.events[0])
	}
}
