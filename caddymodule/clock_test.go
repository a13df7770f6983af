package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/core/oidc"
)

// machine is a clock that a test sets, beside the time that passes.
type machine struct {
	wall  time.Time
	ticks time.Duration
}

func (m *machine) read() (time.Time, time.Duration) { return m.wall, m.ticks }
func (m *machine) pass(d time.Duration)             { m.wall, m.ticks = m.wall.Add(d), m.ticks+d }

// belongings are what a person has that expires, in an hour.
type belongings struct {
	id   string
	user core.UserID
	key  core.Secret
}

func (b *belongings) make(t *testing.T, sh *shared) *belongings {
	t.Helper()
	ctx, now, tenant := t.Context(), sh.clock.Now(), core.DefaultTenant
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	u := &core.User{UserName: core.RandomAlphanumeric(8), Active: true, Type: core.UserInternal, Path: "users"}
	check(sh.db.CreateUser(ctx, tenant, u))
	b.id, b.user = core.RandomAlphanumeric(40), u.ID
	until := now.Add(time.Hour)
	check(sh.db.SaveSession(ctx, tenant, core.Hash(b.id), &core.Session{ID: core.SessionID(b.id), User: u.ID, AuthTime: now, Created: now, LastSeen: now, Expires: until}))
	resting := core.SessionID("resting" + b.id)
	check(sh.db.SaveSession(ctx, tenant, core.Hash(string(resting)), &core.Session{ID: resting, User: u.ID, AuthTime: now, Created: now, LastSeen: now, Expires: until.Add(time.Hour), Idle: time.Hour}))
	check(sh.db.SaveLink(ctx, tenant, &login.Link{Hash: core.Hash(b.id), Purpose: login.LinkRecovery, User: u.ID, Expires: until}))
	check(sh.db.SaveGrant(ctx, tenant, &oidc.Grant{ID: oidc.GrantID(b.id), ClientID: "caddyfile:x", User: u.ID, Created: now, Expires: until}))
	check(sh.db.SaveConsent(ctx, tenant, &oidc.Consent{User: u.ID, ClientID: "c", Expires: until}))
	check(sh.db.SaveAuthRequest(ctx, tenant, b.id, []byte("x"), until))
	check(sh.db.CreateToken(ctx, tenant, &core.Token{Identifier: b.id, Intent: core.IntentAppPassword, User: u.ID, Expiring: true, Expires: until}, core.Secret(b.id)))
	return b
}

// are checks whether all of them are good, or none.
func (b *belongings) are(t *testing.T, sh *shared, when string, want bool) {
	t.Helper()
	ctx, tenant := t.Context(), core.DefaultTenant
	got := map[string]error{}
	_, got["session"] = sh.sessions.SessionByID(ctx, tenant, core.SessionID(b.id))
	_, got["resting session"] = sh.sessions.SessionByID(ctx, tenant, core.SessionID("resting"+b.id))
	_, got["link"] = sh.db.Link(ctx, tenant, core.Hash(b.id))
	_, got["grant"] = sh.db.Grant(ctx, tenant, oidc.GrantID(b.id))
	_, got["consent"] = sh.db.Consent(ctx, tenant, b.user, "c")
	_, got["request"] = sh.db.AuthRequest(ctx, tenant, b.id)
	tok, err := sh.db.TokenByKey(ctx, tenant, core.Hash(b.id))
	if err == nil && tok.Expired(sh.clock.Now()) {
		err = core.ErrNotFound
	}
	got["token"] = err
	for what, err := range got {
		if want && err != nil || !want && !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%s, the %s: %v", when, what, err)
		}
	}
}

func reopen(t *testing.T, data string, m *machine, log *slog.Logger) *shared {
	t.Helper()
	sh, err := openShared(t.Context(), settings{data: data, database: databaseSQLite}, m.read, log)
	if err != nil {
		t.Fatal(err)
	}
	return sh
}

// L-10: nothing that has expired is good again after the machine's clock was set back, neither at
// once nor after a restart. The control removes the mark.
func TestClockSetBack(t *testing.T) {
	data, log := t.TempDir(), slog.New(slog.DiscardHandler)
	m := &machine{wall: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	sh := reopen(t, data, m, log)
	seen, unseen := new(belongings).make(t, sh), new(belongings).make(t, sh)
	m.pass(30 * time.Minute)
	seen.are(t, sh, "before their end", true)
	m.wall = m.wall.Add(-10 * time.Minute)
	seen.are(t, sh, "ten minutes back, before their end", true)
	m.pass(40 * time.Minute)
	seen.are(t, sh, "after their end", false)
	m.wall = m.wall.Add(-2 * time.Hour)
	seen.are(t, sh, "two hours back", false)
	restart := func() {
		t.Helper()
		if err := sh.Destruct(); err != nil {
			t.Fatal(err)
		}
		m.ticks = 0
		sh = reopen(t, data, m, log)
	}
	restart()
	seen.are(t, sh, "two hours back and restarted", false)
	unseen.are(t, sh, "two hours back and restarted, not asked for before", false)
	new(belongings).make(t, sh).are(t, sh, "new", true)
	if err := sh.Destruct(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(data, clockFile)); err != nil {
		t.Fatal(err)
	}
	sh = reopen(t, data, m, log)
	if _, err := sh.sessions.SessionByID(t.Context(), core.DefaultTenant, core.SessionID(unseen.id)); err != nil {
		t.Errorf("control: without the mark it is not good either: %v", err)
	}
	if err := sh.Destruct(); err != nil {
		t.Fatal(err)
	}
}

// L-10: who has to wait after wrong passwords does not wait longer because the machine's clock was set
// back, and what is over is not held against them again; the control is that clock.
func TestClockSetBackAndDenials(t *testing.T) {
	m := &machine{wall: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	sh := reopen(t, t.TempDir(), m, slog.New(slog.DiscardHandler))
	defer func() {
		if err := sh.Destruct(); err != nil {
			t.Error(err)
		}
	}()
	ctx, tenant := t.Context(), core.DefaultTenant
	for range 5 {
		if _, err := sh.db.Fail(ctx, tenant, nil, core.Counter{Key: "somebody", Window: 12 * time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	m.wall = m.wall.Add(-time.Hour)
	somebody := core.Counter{Key: "somebody", Window: 12 * time.Hour}
	all, err := sh.db.Failures(ctx, tenant, somebody)
	if err != nil {
		t.Fatal(err)
	}
	if all[0].Count != 5 || all[0].Newest.After(sh.clock.Now()) {
		t.Errorf("%d failures, the newest at %s, and it is %s", all[0].Count, all[0].Newest, sh.clock.Now())
	}
	if !all[0].Newest.After(m.wall.Add(59 * time.Minute)) {
		t.Errorf("control: by the machine's clock the newest is at %s, and it is %s", all[0].Newest, m.wall)
	}
	m.pass(24 * time.Hour)
	if all, err := sh.db.Failures(ctx, tenant, somebody); err != nil || all[0].Count != 0 {
		t.Errorf("a day later there are failures: %v, %v", all, err)
	}
	m.wall = m.wall.Add(-20 * time.Hour)
	if all, err := sh.db.Failures(ctx, tenant, somebody); err != nil || all[0].Count != 0 {
		t.Errorf("set back, failures are held against somebody again: %v, %v", all, err)
	}
}

// L-10: a clock that was ten years in the future for a while stays there for an hour, in which everybody can
// work, and is then given up; with it all that could expire. What happened stays in the audit log.
func TestClockLost(t *testing.T) {
	var said bytes.Buffer
	data, log := t.TempDir(), slog.New(slog.NewTextHandler(&said, nil))
	m := &machine{wall: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	sh := reopen(t, data, m, log)
	defer func() {
		if err := sh.Destruct(); err != nil {
			t.Error(err)
		}
	}()
	ctx, tenant := t.Context(), core.DefaultTenant
	before := new(belongings).make(t, sh)
	if err := sh.db.Record(ctx, tenant, core.Event{Time: m.wall, Action: core.EventLogin, Message: "kept"}); err != nil {
		t.Fatal(err)
	}
	const years = 10 * 365 * 24 * time.Hour
	m.wall = m.wall.Add(years)
	before.are(t, sh, "in the future", false)
	meanwhile := new(belongings).make(t, sh)
	somebody := core.Counter{Key: "somebody", Window: time.Hour}
	if n, err := sh.db.Fail(ctx, tenant, nil, somebody); err != nil || n[0] != 1 {
		t.Fatal(n, err)
	}
	m.wall = m.wall.Add(-years)
	sh.tendClock(ctx, data, log)
	meanwhile.are(t, sh, "back from the future", true)
	before.are(t, sh, "back from the future", false)
	for range 59 {
		m.pass(time.Minute)
		sh.tendClock(ctx, data, log)
	}
	if sh.clock.Now().Year() != 2036 {
		t.Errorf("within the hour it shows %s", sh.clock.Now())
	}
	m.pass(time.Minute)
	sh.tendClock(ctx, data, log)
	if !sh.clock.Now().Equal(m.wall) || !strings.Contains(said.String(), "everybody has to log in again") {
		t.Errorf("after the hour it shows %s; the log: %s", sh.clock.Now(), said.String())
	}
	before.are(t, sh, "given up", false)
	meanwhile.are(t, sh, "given up", false)
	if all, err := sh.db.Failures(ctx, tenant, somebody); err != nil || all[0].Count != 0 {
		t.Errorf("failures are held against somebody until the future: %v, %v", all, err)
	}
	new(belongings).make(t, sh).are(t, sh, "new", true)
	if mark, err := readMark(data); err != nil || !mark.Equal(m.wall) {
		t.Errorf("the mark: %s, %v", mark, err)
	}
	events, err := sh.db.RecentEvents(ctx, tenant, 100)
	if err != nil || !strings.Contains(fmt.Sprint(events), "kept") {
		t.Errorf("the audit log: %v %v", events, err)
	}
}

// A mark that is damaged keeps nobody from starting, and is told of; one that cannot be written is told
// of once.
func TestClockMark(t *testing.T) {
	var said bytes.Buffer
	data, log := t.TempDir(), slog.New(slog.NewTextHandler(&said, nil))
	m := &machine{wall: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	for _, text := range []string{"", "soon", "-5", "0", "9223372036854775808"} {
		said.Reset()
		if err := os.WriteFile(filepath.Join(data, clockFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := openClock(t.Context(), data, m.read, log)
		if !c.Now().Equal(m.wall) || !strings.Contains(said.String(), "holds no time") {
			t.Errorf("%q: it shows %s; the log: %s", text, c.Now(), said.String())
		}
	}
	sh := reopen(t, data, m, log)
	said.Reset()
	for range 3 {
		sh.tendClock(t.Context(), filepath.Join(data, clockFile), log) // below a file
	}
	if n := strings.Count(said.String(), "cannot be kept"); n != 1 {
		t.Errorf("told %d times: %s", n, said.String())
	}
	if err := sh.Destruct(); err != nil {
		t.Fatal(err)
	}
}
