package policy

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
)

// joinFor is how long the same refusal of the same person is one event.
const joinFor = 10 * time.Minute

// What is kept in memory, and how many events a minute refusals may cause: whoever meets
// one can meet many.
const (
	maxRecent       = 512
	perUserMinute   = 30
	perTenantMinute = 300
)

// refusal is one that somebody met.
type refusal struct {
	tenant core.TenantID
	key    [sha256.Size]byte
	at     time.Time
	event  core.Event
}

// recent holds the newest refusals, whether or not they became events.
type recent struct {
	mu      sync.Mutex
	byKey   map[[sha256.Size]byte]*refusal
	byID    map[string]*refusal
	oldest  []*refusal
	minute  int64
	counted map[string]int // by tenant, and by tenant and user, in this minute
}

// join returns the ID of the same refusal, where there was one lately. Else it keeps r
// under its own ID. record says whether it may become an event.
func (n *recent) join(r *refusal) (id string, record bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if had := n.byKey[r.key]; had != nil && r.at.Sub(had.at) < joinFor && !r.at.Before(had.at) {
		return had.event.Message, false
	}
	if n.byKey == nil {
		n.byKey, n.byID = map[[sha256.Size]byte]*refusal{}, map[string]*refusal{}
	}
	n.byKey[r.key], n.byID[r.event.Message] = r, r
	n.oldest = append(n.oldest, r)
	if len(n.oldest) > maxRecent {
		old := n.oldest[0]
		n.oldest[0] = nil
		n.oldest = n.oldest[1:]
		delete(n.byID, old.event.Message)
		if n.byKey[old.key] == old {
			delete(n.byKey, old.key)
		}
	}
	return r.event.Message, n.take(r.at, string(r.tenant)+"\x00"+string(r.event.User), perUserMinute) &&
		n.take(r.at, string(r.tenant), perTenantMinute)
}

// take counts one event of a minute, and reports whether there is room for it.
func (n *recent) take(now time.Time, key string, most int) bool {
	if minute := now.Unix() / 60; minute != n.minute || n.counted == nil {
		n.minute, n.counted = minute, map[string]int{}
	}
	n.counted[key]++
	return n.counted[key] <= most
}

// find returns the event of a refusal that is still in memory.
func (n *recent) find(t core.TenantID, id string) *core.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.byID[id]
	if r == nil || r.tenant != t {
		return nil
	}
	e := r.event
	return &e
}

// Refuse gives a denial that somebody met its ID, and records it with its trace. where says
// what they were at, such as "authorize". The ID is that of an earlier event where the same
// was refused to the same person lately.
func (e *Engine) Refuse(ctx context.Context, t core.TenantID, d *Decision, where string) {
	e.refuse(ctx, t, d, where, "")
}

// RefuseFor is Refuse for a reason that is not the rules'.
func (e *Engine) RefuseFor(ctx context.Context, t core.TenantID, d *Decision, where, reason string) {
	e.refuse(ctx, t, d, where, reason)
}

func (e *Engine) refuse(ctx context.Context, t core.TenantID, d *Decision, where, reason string) {
	if reason == "" {
		reason = d.Reason
	}
	rec := newRecord(ctx, d, where, reason)
	rec.Decision = core.RandomAlphanumeric(12)
	r := &refusal{tenant: t, at: e.now(), event: core.Event{
		Time: e.now(), Action: core.EventDenied, Application: d.Request.Application.ID,
		Address: rec.ClientIP, Message: rec.Decision, Context: rec.context(),
	}}
	if u := d.Request.User; u != nil {
		r.event.User, r.event.UserName = u.ID, u.UserName
	}
	h := sha256.New()
	_ = json.NewEncoder(h).Encode([]any{t, r.event.User, r.event.Application, rec.ClientIP, where, reason, d.Notice()}) // a hash takes all
	for i := range d.Steps {
		fmt.Fprintln(h, d.Steps[i].Binding, d.Steps[i].Result, d.Steps[i].Error)
	}
	h.Sum(r.key[:0])
	id, record := e.recent.join(r)
	d.ID = id
	if id != rec.Decision {
		return
	}
	e.log().InfoContext(ctx, "access refused", "tenant", t, "application", d.Request.Application.Slug, "user", r.event.UserName,
		"decision", id, "at", where, "why", reason)
	if e.Events == nil {
		return
	}
	if !record {
		e.log().WarnContext(ctx, "a refusal is not in the audit log, as there were too many this minute", "tenant", t, "decision", id)
		return
	}
	if err := e.Events.Record(context.WithoutCancel(ctx), t, r.event); err != nil {
		e.log().ErrorContext(ctx, "record event", "action", core.EventDenied, "decision", id, "error", err)
	}
}

// executed records a run of an expression policy that failed or whose policy asks for it.
func (e *Engine) executed(ctx context.Context, t core.TenantID, d *Decision, r *Rule, s *Step) {
	if e.Events == nil {
		return
	}
	ev := core.Event{
		Time: e.now(), Action: core.EventPolicyExecution, User: d.Request.User.ID, UserName: d.Request.User.UserName,
		Application: d.Request.Application.ID, Message: fmt.Sprintf("policy %s: %s", r.Name, s.Result),
		Context: map[string]any{"policy": string(r.Policy), "binding": string(r.ID), "passed": s.Pass, "messages": cutAll(s.Messages, 5, 200)},
	}
	if info := core.Request(ctx); info != nil && info.ClientIP.IsValid() {
		ev.Address = info.ClientIP.String()
	}
	if s.Error != "" {
		ev.Action, ev.Context["error"] = core.EventPolicyException, shorten(s.Error, 1000)
	}
	e.recent.mu.Lock()
	record := e.recent.take(e.now(), string(t)+"\x00run\x00"+string(ev.User), perUserMinute) &&
		e.recent.take(e.now(), string(t)+"\x00run", perTenantMinute)
	e.recent.mu.Unlock()
	if !record {
		return
	}
	if err := e.Events.Record(context.WithoutCancel(ctx), t, ev); err != nil {
		e.log().ErrorContext(ctx, "record event", "action", ev.Action, "error", err)
	}
}

// Explain finds a refusal by its ID: in memory, or in the audit log. An ID that is in
// neither is core.ErrNotFound.
func (e *Engine) Explain(ctx context.Context, t core.TenantID, id string) (*Record, error) {
	if ev := e.recent.find(t, id); ev != nil {
		return ReadRecord(ev)
	}
	return Explain(ctx, e.Store, t, id)
}

// Explain finds a refusal in the audit log.
func Explain(ctx context.Context, s Denials, t core.TenantID, id string) (*Record, error) {
	if id == "" || len(id) > 64 {
		return nil, core.ErrNotFound
	}
	ev, err := s.Denial(ctx, t, id)
	if errors.Is(err, core.ErrNotFound) {
		return nil, core.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("find the decision: %w", err)
	}
	return ReadRecord(ev)
}
