package counterparts_test

import (
	"net/http"
	"syscall"
	"testing"
)

// L-07: the server itself ends without a warning, hangs, is started anew, takes no writes, or has no connection to
// give; the node finds it again by itself.
func TestDatabaseServerOutage(t *testing.T) {
	s := startOwnPostgres(t)
	database := createDatabase(t, s.url().String())
	f := newFleet(t)
	o := newOutage(t, f.add(t, database, "revocation_staleness 5m", ""))
	ran(t, "caddy")
	ran(t, "postgresql-outage")
	var release func()
	for _, c := range []struct {
		name     string
		away, be func()
	}{
		{"stopped", func() { s.stop("immediate") }, s.start},
		{"hangs", func() {
			s.t.Cleanup(func() { s.signal(syscall.SIGCONT) }) // stopped it could not be ended
			s.signal(syscall.SIGSTOP)
		}, func() { s.signal(syscall.SIGCONT) }},
		{"takes no writes", func() {
			execute(t, database, `ALTER SYSTEM SET default_transaction_read_only = on`, `SELECT pg_reload_conf()`)
			eventually(o.t, "the node is not ready", func() bool { return o.health("ready") == http.StatusServiceUnavailable })
		}, func() {
			execute(t, database, `ALTER SYSTEM RESET default_transaction_read_only`, `SELECT pg_reload_conf()`)
		}},
		{"has no connection to give", func() { release = s.exhaust() }, func() { release() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.under(t)
			s.under(t)
			o.prepare()
			c.away()
			o.away(c.name)
			c.be()
			o.works("it is back")
			t.Logf("%d of %d codes could be traded afterwards", o.once(), len(o.codes))
		})
	}

	// Nobody has to notice a restart, but for what is asked meanwhile.
	t.Run("is restarted", func(t *testing.T) {
		o.under(t)
		s.under(t)
		for _, mode := range []string{"fast", "immediate"} {
			s.stop(mode)
			s.start()
			o.works("after a restart, " + mode)
		}
		if got := o.health("live"); got != http.StatusOK {
			t.Errorf("live: %d", got)
		}
	})
}
