package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// refusals make PostgreSQL refuse a new user with a state, some times over: a sequence
// counts, which no rollback turns back.
const refusals = `CREATE SEQUENCE tried;
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
		IF NEW.username LIKE 'refused%%' AND nextval('public.tried') <= %d THEN
			RAISE EXCEPTION 'refused by the test' USING ERRCODE = '%s';
		END IF;
		RETURN NEW;
	END $f$;
	CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON users DEFERRABLE INITIALLY %s FOR EACH ROW EXECUTE FUNCTION refuse()`

// L-07: a transaction that met another one runs again, whether PostgreSQL says so at a
// statement or at the commit, and what it does is done once. It does not run again for
// another reason, and not without end.
func TestPostgresRunsAgain(t *testing.T) {
	s := storagetest.StartPostgres(t)
	for name, c := range map[string]struct {
		state    string
		refused  int
		when     string
		attempts string // how often it ran
		fails    bool
		later    bool // the error says that another time will do
	}{
		"serialization failure":               {"40001", 3, "IMMEDIATE", "4", false, false},
		"serialization failure at the commit": {"40001", 3, "DEFERRED", "4", false, false},
		"deadlock":                            {"40P01", 3, "IMMEDIATE", "4", false, false},
		"lock not available":                  {"55P03", 3, "IMMEDIATE", "4", false, false},
		"again and again":                     {"40001", 1000, "IMMEDIATE", "8", true, true},
		"control: another reason":             {"22012", 1, "IMMEDIATE", "1", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := s.Create(t)
			db := open(t, sqldb.Options{URL: address})
			query(t, address, fmt.Sprintf(refusals, c.refused, c.state, c.when))
			before, err := db.LastChange(t.Context(), "public")
			must(t, err)
			u := &core.User{UserName: "refused at first"}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // longer than a call has by itself
			defer cancel()
			err = db.CreateUser(ctx, "public", u)
			if (err != nil) != c.fails || errors.Is(err, core.ErrUnavailable) != c.later {
				t.Errorf("error %v", err)
			}
			attempts, err := db.Text(t.Context(), "public", `SELECT CAST(last_value AS TEXT) FROM tried`)
			must(t, err)
			if attempts != c.attempts {
				t.Errorf("it ran %s times, want %s", attempts, c.attempts)
			}
			users, err := db.Text(t.Context(), "public", `SELECT CAST(count(*) AS TEXT) FROM users WHERE username LIKE 'refused%'`)
			must(t, err)
			after, err := db.LastChange(t.Context(), "public")
			must(t, err)
			want := "1"
			if c.fails {
				want = "0"
			}
			if users != want || (after > before) == c.fails {
				t.Errorf("%s users are there, the outbox went from %d to %d", users, before, after)
			}
		})
	}
}

// L-07: of two transactions that wait for each other PostgreSQL ends one; where it is
// ours it runs again until the other is done, and loses nothing that the other wrote.
func TestPostgresDeadlock(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	db := open(t, sqldb.Options{URL: address})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	u := &core.User{UserName: "alice", DisplayName: "Alice"}
	must(t, db.CreateUser(ctx, "public", u))
	c, err := sql.Open("pgx", address)
	must(t, err)
	defer c.Close()
	other, err := c.BeginTx(ctx, nil)
	must(t, err)
	exec := func(text string) error {
		_, err := other.ExecContext(ctx, text)
		return err
	}
	// It looks for deadlocks later than ours, which is the one that is ended then. It
	// holds the outbox's counter, which ours takes last.
	must(t, exec(`SET LOCAL deadlock_timeout = '1h'`))
	must(t, exec(`UPDATE counters SET value = value WHERE name = 'outbox'`))
	done := make(chan error, 1)
	runs := 0
	_, err = db.UpdateUser(ctx, "public", u.PK, func(u *core.User) error {
		runs++
		if runs == 1 {
			go func() {
				err := exec(`UPDATE users SET email = 'alice@example.com' WHERE username = 'alice'`)
				done <- errors.Join(err, other.Commit())
			}()
			waiting := 0
			for waiting == 0 && ctx.Err() == nil {
				if err := c.QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting); err != nil {
					return err
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		u.DisplayName += " again"
		return nil
	})
	must(t, err)
	must(t, <-done)
	got, err := db.User(ctx, "public", u.ID)
	must(t, err)
	if runs < 2 || got.DisplayName != "Alice again" || got.Email != "alice@example.com" {
		t.Errorf("it ran %d times, and the user is %q <%s>", runs, got.DisplayName, got.Email)
	}
}

// L-07: a node that hangs within a transaction keeps nobody out for long: PostgreSQL ends the transaction, and nothing of it
// stays. The control has it wait for ever.
func TestPostgresAbandoned(t *testing.T) {
	s := storagetest.StartPostgres(t)
	if got, err := open(t, sqldb.Options{URL: s.Create(t)}).Text(t.Context(), "public", `SELECT current_setting('idle_in_transaction_session_timeout')`); got != "10s" {
		t.Errorf("by itself it waits for %s, %v", got, err)
	}
	for timeout, ends := range map[string]bool{"500": true, "0": false} {
		t.Run(timeout, func(t *testing.T) {
			t.Parallel()
			address := s.Create(t)
			and := "?"
			if strings.Contains(address, "?") {
				and = "&"
			}
			other := open(t, sqldb.Options{URL: address}) // makes the tables, for which it may take its time
			hangs := open(t, sqldb.Options{URL: address + and + "idle_in_transaction_session_timeout=" + timeout})
			u := &core.User{UserName: "alice"}
			must(t, hangs.CreateUser(t.Context(), "public", u))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began, goOn, done := make(chan bool, 9), make(chan bool), make(chan error, 1)
			go func() {
				_, err := hangs.UpdateUser(ctx, "public", u.PK, func(u *core.User) error {
					began <- true
					<-goOn
					u.DisplayName = "of who hung"
					return nil
				})
				done <- err
			}()
			<-began
			patience := time.Minute
			if !ends {
				patience = 2 * time.Second
			}
			soon, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			var err error
			for err = errors.New("not yet"); err != nil && soon.Err() == nil; { // a call has an end of its own
				_, err = other.UpdateUser(soon, "public", u.PK, func(u *core.User) error { u.Email = "alice@example.com"; return nil })
			}
			if (err == nil) != ends {
				t.Errorf("the other node's change: %v", err)
			}
			close(goOn)
			err = <-done
			got, gone := other.User(t.Context(), "public", u.ID)
			must(t, gone)
			if wrote := got.DisplayName != ""; wrote != (err == nil) || ends && got.Email == "" {
				t.Errorf("it is told %v, and the user is %q <%s>", err, got.DisplayName, got.Email)
			}
			t.Logf("who hung is told %v", err)
		})
	}
}
