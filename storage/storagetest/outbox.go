package storagetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

func outboxTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"outbox/each change":         outboxChanges,
		"outbox/none where none was": outboxNothing,
		"outbox/old lines go":        outboxOld,
		"events/record":              eventsRecord,
		"events/denial":              eventsDenial,
	}
}

// changes lists what changed after seq as text.
func (b *bench) changes(seq int64) string {
	b.Helper()
	list, err := b.Changes(b.ctx, b.t, seq, 1000)
	b.ok(err)
	var out []string
	for _, c := range list {
		if c.Seq <= seq {
			b.Errorf("line %d after %d", c.Seq, seq)
		}
		seq = c.Seq
		out = append(out, fmt.Sprintf("%s %s %s", c.Kind, c.ID, c.Op))
	}
	return strings.Join(out, ", ")
}

func outboxChanges(b *bench) {
	seq, err := b.LastChange(b.ctx, b.t)
	b.ok(err)
	step := func(what, want string) {
		b.Helper()
		got := b.changes(seq)
		equal(b, what, got, want)
		seq, err = b.LastChange(b.ctx, b.t)
		b.ok(err)
	}
	u := b.user("alice")
	step("create user", fmt.Sprintf("user %s create", u.ID))
	g := b.group("g")
	step("create group", fmt.Sprintf("group %s create", g.ID))
	b.ok(b.AddMember(b.ctx, b.t, g.ID, u.PK))
	step("add member", fmt.Sprintf("membership %s update", u.ID))
	b.ok(b.AddMember(b.ctx, b.t, g.ID, u.PK))
	step("add again", "")
	b.ok(second(b.UpdateGroup(b.ctx, b.t, g.ID, func(v *core.Group) ([]int64, error) { v.Name = "h"; return []int64{}, nil })))
	step("rename and empty", fmt.Sprintf("group %s update, membership %s update", g.ID, u.ID))
	b.ok(b.SetPasswordHash(b.ctx, b.t, u.ID, "$x", b.clock.Now()))
	step("password", fmt.Sprintf("user %s update", u.ID))
	b.ok(b.SetLastLogin(b.ctx, b.t, u.ID, b.clock.Now(), nil))
	step("last login", "")
	c := b.client("c")
	step("create client", fmt.Sprintf("provider %d create", c.ID))
	a := &core.Application{Slug: "app", Name: "App", Provider: c.ID}
	b.ok(b.CreateApplication(b.ctx, b.t, a))
	step("create application", fmt.Sprintf("application %s create", a.ID))
	grant := b.grant(u.ID, c)
	b.code(grant, "x")
	step("save grant", "")
	b.ok(b.RevokeGrant(b.ctx, b.t, grant.ID))
	step("revoke grant", fmt.Sprintf("grant %s delete", grant.ID))
	b.ok(b.RevokeGrant(b.ctx, b.t, grant.ID))
	step("revoke again", "")
	b.session(u.ID, "s1", "")
	b.session(u.ID, "s2", "s1")
	step("save session", "")
	b.ok(second(b.DeleteSession(b.ctx, b.t, "s1")))
	if got := b.changes(seq); !strings.Contains(got, "session s1 delete") || !strings.Contains(got, "session s2 delete") {
		b.Errorf("delete session: %s", got)
	}
	seq, err = b.LastChange(b.ctx, b.t)
	b.ok(err)
	b.ok(b.DeleteProvider(b.ctx, b.t, c.ID))
	step("delete provider", fmt.Sprintf("application %s update, provider %d delete", a.ID, c.ID))
	b.token(u.ID, "t")
	tok, err := b.Token(b.ctx, b.t, "t")
	b.ok(err)
	step("create token", fmt.Sprintf("token %s create", tok.ID))
	b.ok(b.DeleteUser(b.ctx, b.t, u.PK))
	step("delete user", fmt.Sprintf("user %s delete", u.ID))
	got, err := b.Changes(b.ctx, b.t, 0, 2)
	b.ok(err)
	equal(b, "limit", len(got), 2)
}

func outboxNothing(b *bench) {
	u := b.user("alice")
	seq, err := b.LastChange(b.ctx, b.t)
	b.ok(err)
	b.field(b.CreateUser(b.ctx, b.t, &core.User{UserName: "alice"}), "username")
	b.is(b.DeleteUser(b.ctx, b.t, 999), core.ErrNotFound)
	b.is(b.DeleteGroup(b.ctx, b.t, "none"), core.ErrNotFound)
	_, err = b.UpdateUser(b.ctx, b.t, u.PK, func(*core.User) error { return core.ErrStale })
	b.is(err, core.ErrStale)
	equal(b, "changes", b.changes(seq), "")
}

func outboxOld(b *bench) {
	b.user("alice")
	b.ok(b.Record(b.ctx, b.t, core.Event{Action: core.EventLogin}))
	b.clock.Add(8 * 24 * time.Hour)
	bob := b.user("bob")
	b.ok(b.DeleteExpired(b.ctx, b.t, b.clock.Now()))
	equal(b, "changes", b.changes(0), fmt.Sprintf("user %s create", bob.ID))
	es, err := b.RecentEvents(b.ctx, b.t, 10)
	b.ok(err)
	equal(b, "events", len(es), 1)
	b.clock.Add(400 * 24 * time.Hour)
	b.ok(b.DeleteExpired(b.ctx, b.t, b.clock.Now()))
	es, err = b.RecentEvents(b.ctx, b.t, 10)
	b.ok(err)
	equal(b, "events after a year", len(es), 0)
}

func eventsRecord(b *bench) {
	b.ok(b.Record(b.ctx, b.t, core.Event{Action: core.EventLogin, User: "u", UserName: "alice", Application: "a", Address: "192.0.2.1",
		Message: "in", Context: map[string]any{"secret": core.Secret("canary"), "n": 1}}))
	b.clock.Add(time.Second)
	b.ok(b.Record(b.ctx, b.t, core.Event{Action: core.EventLoginFailed, UserName: strings.Repeat("x\x00\xff", 5000),
		Message: strings.Repeat("é", 5000), Context: map[string]any{"big": strings.Repeat("x", 1<<20)}}))
	es, err := b.RecentEvents(b.ctx, b.t, 10)
	b.ok(err)
	equal(b, "events", len(es), 2)
	e := es[1]
	equal(b, "event", fmt.Sprint(e.Action, e.User, e.UserName, e.Application, e.Address, e.Message, e.Context["n"], e.Time.Equal(NewClock().Now()), e.ID != ""),
		fmt.Sprint("login", "u", "alice", "a", "192.0.2.1", "in", 1, true, true))
	equal(b, "a secret", fmt.Sprint(e.Context["secret"]), "[redacted]")
	if e := es[0]; len(e.UserName) > 256 || len(e.Message) > 2048 || len(fmt.Sprint(e.Context)) > 1000 {
		b.Errorf("kept %d, %d, %v", len(e.UserName), len(e.Message), e.Context)
	}
}

func eventsDenial(b *bench) {
	b.ok(b.Record(b.ctx, b.t, core.Event{Action: core.EventDenied, UserName: "alice", Message: "Abc", Context: map[string]any{"order": int64(7)}}))
	b.ok(b.Record(b.ctx, b.t, core.Event{Action: core.EventDenied, UserName: "bob", Message: "Xyz"}))
	b.ok(b.Record(b.ctx, b.t, core.Event{Action: core.EventLogin, Message: "other"}))
	e, err := b.Denial(b.ctx, b.t, "Abc")
	b.ok(err)
	equal(b, "event", fmt.Sprint(e.UserName, e.Context["order"], e.Time.Equal(b.clock.Now())), "alice7 true")
	for _, none := range []string{"abc", "other", "", "Abc%", "\xff"} {
		b.is(second(b.Denial(b.ctx, b.t, none)), core.ErrNotFound)
	}
}
