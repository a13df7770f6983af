package sqldb_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// multitude writes n users as nobody does, at once.
func multitude(t *testing.T, db *sqldb.DB, n int) {
	t.Helper()
	must(t, db.Exec(t.Context(), "public", `INSERT INTO users (id, pk, username, username_fold, name, name_fold, email, email_fold, email_verified, active, type, path, path_fold,
			attributes, password_hash, password_changed, last_login, created, updated)
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		SELECT 'user-' || i, i + 10, 'Person' || i, 'person' || i, '', '', '', '', 1 = 0, 1 = 1, 'internal', 'users', 'users', '{}', '', 0, 0, i, i FROM n`, n))
	must(t, db.Exec(t.Context(), "public", `UPDATE counters SET value = $1 WHERE name = 'user'`, n+10))
}

// numbers are those of a page.
func numbers(t *testing.T, db *sqldb.DB, q api.Query) (pks []int64, total int) {
	t.Helper()
	users, total, err := db.ListUsers(t.Context(), "public", q)
	must(t, err)
	for _, u := range users {
		pks = append(pks, u.PK)
	}
	return pks, total
}

// Any page is what it would be if all were counted, whoever came and went between two of them.
func TestPagesOfManyPeople(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			opt := place(t)
			again(t, opt, func(db *sqldb.DB) { // without the one that each directory begins with
				all, _ := numbers(t, db, api.Query{})
				for _, pk := range all {
					must(t, db.DeleteUser(t.Context(), "public", pk))
				}
			})
			again(t, opt, func(db *sqldb.DB) {
				multitude(t, db, 4500)
				var all []int64
				for i := range 4500 {
					all = append(all, int64(i+11))
				}
				seed := [2]uint64{rand.Uint64(), rand.Uint64()}
				r := rand.New(rand.NewPCG(seed[0], seed[1]))
				t.Logf("seed %d", seed)
				for i := range 150 {
					switch n := r.IntN(20); {
					case n == 0:
						at := r.IntN(len(all))
						must(t, db.DeleteUser(t.Context(), "public", all[at]))
						all = slices.Delete(all, at, at+1)
					case n < 5:
						u := &core.User{UserName: fmt.Sprint("new ", i)}
						must(t, db.CreateUser(t.Context(), "public", u))
						all = append(all, u.PK)
					case n == 5: // the lines are lost, and so is what was known
						must(t, db.Exec(t.Context(), "public", `DELETE FROM outbox`))
					}
					q := api.Query{Offset: r.IntN(len(all) + 100), Limit: 1 + r.IntN(30)}
					got, total := numbers(t, db, q)
					from := min(q.Offset, len(all))
					want := all[from:min(from+q.Limit, len(all))]
					if !slices.Equal(got, want) || total != len(all) {
						t.Fatalf("after %d acts, %+v: %v of %d, want %v of %d", i, q, got, total, want, len(all))
					}
					if _, total = numbers(t, db, api.Query{Order: []string{"name"}, Limit: 1}); total != len(all) {
						t.Fatalf("in another order: %d, want %d", total, len(all))
					}
				}
			})
		})
	}
}

// Whoever walks over all people while some come and go meets everybody who stays, and nobody twice;
// in the end everybody is counted.
func TestPagesWhilePeopleComeAndGo(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			again(t, place(t), func(db *sqldb.DB) {
				multitude(t, db, 2500)
				_, before := numbers(t, db, api.Query{})
				var acts sync.WaitGroup
				for w := range 2 {
					acts.Go(func() {
						for i := range 20 {
							u := &core.User{UserName: fmt.Sprint("new ", w, " ", i)}
							if err := db.CreateUser(t.Context(), "public", u); err != nil {
								t.Error(err)
							}
							if i%2 == 0 {
								if err := db.DeleteUser(t.Context(), "public", u.PK); err != nil {
									t.Error(err)
								}
							}
						}
					})
				}
				for range 3 {
					acts.Go(func() {
						met := map[int64]int{}
						for offset := 0; offset < 2500; offset += 250 {
							users, _, err := db.ListUsers(t.Context(), "public", api.Query{Offset: offset, Limit: 250})
							if err != nil {
								t.Error(err)
							}
							for _, u := range users {
								met[u.PK]++
							}
						}
						for pk := int64(11); pk <= 2499; pk++ { // those who come are after all of them
							if met[pk] != 1 {
								t.Errorf("met user %d %d times", pk, met[pk])
								return
							}
						}
					})
				}
				acts.Wait()
				users, total := numbers(t, db, api.Query{Offset: 2000, Limit: 1000})
				if total != before+20 || len(users) != total-2000 {
					t.Errorf("%d and %d, of %d and 20", total, len(users), before)
				}
			})
		})
	}
}

// Where a server took over that lacks the last transactions, their numbers are others' by now.
func TestPeopleAfterAFailover(t *testing.T) {
	opt := places()["sqlite"](t)
	again(t, opt, func(db *sqldb.DB) {
		_, before := numbers(t, db, api.Query{})
		a, b := &core.User{UserName: "lost"}, &core.User{UserName: "there"}
		must(t, db.CreateUser(t.Context(), "public", a))
		if _, n := numbers(t, db, api.Query{}); n != before+1 {
			t.Fatalf("%d after %d", n, before)
		}
		must(t, db.Exec(t.Context(), "public", `DELETE FROM users WHERE pk = $1`, a.PK))
		must(t, db.Exec(t.Context(), "public", `UPDATE counters SET value = value - 1 WHERE name = 'outbox'`))
		must(t, db.Exec(t.Context(), "public", `DELETE FROM outbox WHERE seq > (SELECT value FROM counters WHERE name = 'outbox')`))
		if _, n := numbers(t, db, api.Query{}); n != before { // a number that is smaller tells
			t.Errorf("%d, want %d", n, before)
		}
		must(t, db.CreateUser(t.Context(), "public", b))
		if _, n := numbers(t, db, api.Query{}); n != before+1 {
			t.Errorf("%d, want %d", n, before+1)
		}
		must(t, db.Exec(t.Context(), "public", `DELETE FROM users WHERE pk = $1`, b.PK))
		if _, n := numbers(t, db, api.Query{}); n != before+1 { // the control: nothing tells
			t.Errorf("%d, want %d", n, before+1)
		}
		db.Doubt(t.Context(), "public")
		if _, n := numbers(t, db, api.Query{}); n != before {
			t.Errorf("%d, want %d", n, before)
		}
	})
}

// findable tells whether everybody is found by a word of theirs.
func findable(t *testing.T, db *sqldb.DB, tenant core.TenantID) {
	t.Helper()
	db.Indexed()
	users, total, err := db.ListUsers(t.Context(), tenant, api.Query{Limit: 1000})
	must(t, err)
	if total == 0 || total != len(users) {
		t.Errorf("%d of %d users", len(users), total)
	}
	for _, u := range users {
		for _, w := range append(strings.Fields(core.Fold(u.UserName)), strings.Fields(core.Fold(u.DisplayName))...) {
			if len([]rune(w)) < 3 {
				continue
			}
			found, _, err := db.ListUsers(t.Context(), tenant, api.Query{Search: w, Limit: 1000})
			must(t, err)
			if !slices.ContainsFunc(found, func(f core.User) bool { return f.ID == u.ID }) {
				t.Errorf("%s: %q is not found by %q", tenant, u.UserName, w)
			}
		}
	}
}

// What serves a search is no part of a backup, and there again after a restore into either
// database; on SQLite a row that is put in past it is not found, so the test can fail.
func TestSearchAfterRestore(t *testing.T) {
	names := []string{"Anna Ärmel", "Bert", "čeněk", "山田太郎"}
	for from, place := range places() {
		opt := place(t)
		var file bytes.Buffer
		again(t, opt, func(db *sqldb.DB) {
			_, err := db.CreateTenant(t.Context(), "t_a", "A")
			must(t, err)
			for _, tenant := range []core.TenantID{"public", "t_a"} {
				for _, name := range names {
					must(t, db.CreateUser(t.Context(), tenant, &core.User{UserName: name}))
				}
			}
			must(t, db.Backup(t.Context(), &file, sqldb.BackupOptions{}))
		})
		for to, place := range places() {
			t.Run(from+" to "+to, func(t *testing.T) {
				target := place(t)
				must(t, restore(t.Context(), target, file.Bytes(), sqldb.RestoreOptions{}))
				again(t, target, func(db *sqldb.DB) {
					findable(t, db, "public")
					findable(t, db, "t_a")
				})
			})
		}
	}
	again(t, places()["sqlite"](t), func(db *sqldb.DB) {
		must(t, db.Exec(t.Context(), "public", `DROP TRIGGER users_search_insert`))
		must(t, db.CreateUser(t.Context(), "public", &core.User{UserName: names[0]}))
		if n, _ := numbers(t, db, api.Query{Search: "anna"}); len(n) != 1 { // among few
			t.Errorf("found %v", n)
		}
		db.Indexed()
		if n, _ := numbers(t, db, api.Query{Search: "anna"}); len(n) > 0 {
			t.Errorf("found without the index: %v", n)
		}
	})
}

// A database that takes a byte for a character cuts other pieces from the texts.
func TestPostgresSearchOfBytes(t *testing.T) {
	s := storagetest.StartPostgres(t)
	server, err := sql.Open("pgx", s.URL)
	must(t, err)
	defer server.Close()
	name := "postern_test_" + strings.ToLower(core.RandomAlphanumeric(12))
	_, err = server.ExecContext(t.Context(), `CREATE DATABASE `+name+` TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'`)
	must(t, err)
	defer func() {
		if _, err := server.ExecContext(context.Background(), `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	}()
	u, err := url.Parse(s.URL)
	must(t, err)
	u.Path = "/" + name
	again(t, sqldb.Options{URL: u.String()}, func(db *sqldb.DB) {
		for _, name := range []string{"Čeněk of Brno", "山田太郎", "Ärmel"} {
			must(t, db.CreateUser(t.Context(), "public", &core.User{UserName: name}))
		}
		findable(t, db, "public")
	})
}

// A count that was read before all was forgotten is kept by nobody: the lines of the outbox may be others since.
func TestCountOfBefore(t *testing.T) {
	db := open(t, sqldb.Options{Dir: t.TempDir()})
	counted, forget := 0, true
	db.Trace(func(_ core.TenantID, query string, _ []any) {
		if !strings.Contains(query, "(SELECT count(*) FROM users)") {
			return
		}
		counted++
		if forget {
			forget = false
			db.ForgetPeople("public") // between what is known and what is read
		}
	})
	for i, want := range []int{1, 2, 2} { // the last one is the control: what was kept is used
		numbers(t, db, api.Query{})
		if counted != want {
			t.Errorf("list %d: all were counted %d times, want %d", i, counted, want)
		}
	}
}
