package session_test

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/session"
	"github.com/postern-sso/postern/storage/sqldb"
)

// TestOnTheRealStore goes through a life of sessions on SQLite: what was
// acknowledged is there after a restart, and what was ended is not.
func TestOnTheRealStore(t *testing.T) {
	c := &clock{t: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	master, err := keys.NewMaster(bytes.Repeat([]byte("k"), keys.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var db *sqldb.DB
	var m *session.Sessions
	log := &events{}
	stop := func() {
		m.Close()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	start := func() {
		db, err = sqldb.Open(t.Context(), sqldb.Options{Dir: dir, Master: master, Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		m = &session.Sessions{Store: db, Users: db, Events: log, Now: c.now}
	}
	start()
	admin, err := db.UserByName(t.Context(), tenantA, "akadmin")
	if err != nil {
		t.Fatal(err)
	}
	s, cookie := login(t, m, request(tenantA, "https"), admin.ID)
	_, key, err := m.StartChild(t.Context(), tenantA, s.ID, "app")
	if err != nil {
		t.Fatal(err)
	}
	r := request(tenantA, "https", cookie)
	check := func(when string, alive bool) {
		t.Helper()
		_, errLogin := m.Current(r)
		_, errChild := m.Child(t.Context(), tenantA, key, "app")
		if alive && (errLogin != nil || errChild != nil) || !alive && (!errors.Is(errLogin, core.ErrNotFound) || !errors.Is(errChild, core.ErrNotFound)) {
			t.Fatalf("%s: the login: %v, its child: %v", when, errLogin, errChild)
		}
	}
	check("at first", true)
	for range 4 { // used now and then, over a restart each time: it does not rest
		c.add(6 * 24 * time.Hour)
		check("in use", true)
		stop()
		start()
		check("after a restart", true)
	}
	found, err := m.Current(r)
	if err != nil || found.User != admin.ID || !found.AuthTime.Equal(s.AuthTime) || found.Address != "192.0.2.7" || len(found.Factors) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	if err := m.End(httptest.NewRecorder(), r); err != nil {
		t.Fatal(err)
	}
	check("after the logout", false)
	stop()
	start()
	defer stop()
	check("after the logout and a restart", false)
	if len(log.all) != 1 || log.all[0].UserName != "akadmin" {
		t.Errorf("%+v", log.all)
	}
}
