package sqldb_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/storage/sqldb"
)

// textBits are what names are made of here: pieces that many share, short ones, and what a pattern or
// the order could trip over.
func textBits() []string {
	return []string{"user", "us", "e", "r", "ann", "Änn", "ß", "山田", "%", "_", "!", "\\", "'", `"`, "{", ",", "-", "@x.", "1", "7", " ", "\t", "\x01", "~"}
}

func someText(r *rand.Rand, most int) string {
	var b strings.Builder
	for range 1 + r.IntN(most) {
		b.WriteString(textBits()[r.IntN(len(textBits()))])
	}
	return b.String()
}

// searched is what a search is, told without an index: whom it finds, in which order, on which page.
func searched(all []core.User, q api.Query) (pks []int64, total int) {
	var found []core.User
	for _, u := range all {
		texts := []string{core.Fold(u.UserName), core.Fold(u.DisplayName), core.Fold(u.Email)}
		holds := func(w string) bool {
			return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, w) })
		}
		missing := slices.ContainsFunc(strings.Fields(core.Fold(q.Search)), func(w string) bool { return !holds(w) })
		if !missing && (q.Where == nil || u.Active) && (q.Only == nil || slices.Contains(q.Only, fmt.Sprint(u.PK))) {
			found = append(found, u)
		}
	}
	by, down := strings.CutPrefix(q.Order[0], "-")
	slices.SortFunc(found, func(a, b core.User) int {
		n := 0
		switch by {
		case "username":
			n = strings.Compare(core.Fold(a.UserName), core.Fold(b.UserName))
		case "name":
			n = strings.Compare(core.Fold(a.DisplayName), core.Fold(b.DisplayName))
		case "pk":
			n = cmp.Compare(a.PK, b.PK)
		}
		if down {
			n = -n
		}
		return cmp.Or(n, cmp.Compare(a.PK, b.PK))
	})
	from := min(q.Offset, len(found))
	for _, u := range found[from:min(from+q.Limit, len(found))] {
		pks = append(pks, u.PK)
	}
	return pks, len(found)
}

// A search of texts in memory finds what is there at that moment, whatever became of people since, on this
// node or another one: at random, against a search that remembers nothing.
func TestTexts(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			opt := place(t)
			nodes := []*sqldb.DB{open(t, opt)}
			if opt.URL != "" {
				nodes = append(nodes, open(t, sqldb.Options{URL: opt.URL, Dir: t.TempDir(), Master: opt.Master}))
			}
			for _, db := range nodes {
				db.Texts()
			}
			seed := [2]uint64{rand.Uint64(), rand.Uint64()}
			r := rand.New(rand.NewPCG(seed[0], seed[1]))
			t.Logf("seed %d", seed)
			multitude(t, nodes[0], 400) // texts are kept in parts, and new ones come after what is not full
			all, _, err := nodes[0].ListUsers(t.Context(), "public", api.Query{Limit: 1000})
			must(t, err)
			inMemory := 0
			search := func(what string, db *sqldb.DB, q api.Query) {
				t.Helper()
				got, total := numbers(t, db, q)
				want, n := searched(all, q)
				if !slices.Equal(got, want) || total != n {
					t.Fatalf("%s, %+v: %v of %d, want %v of %d", what, q, got, total, want, n)
				}
			}
			for i := range 250 {
				db := nodes[r.IntN(len(nodes))]
				switch n := r.IntN(20); {
				case n < 3 && len(all) > 1:
					at := r.IntN(len(all))
					must(t, db.DeleteUser(t.Context(), "public", all[at].PK))
					all = slices.Delete(all, at, at+1)
				case n < 8:
					at := r.IntN(len(all))
					u, err := db.UpdateUser(t.Context(), "public", all[at].PK, func(u *core.User) error {
						switch r.IntN(4) {
						case 0:
							u.UserName = fmt.Sprint(someText(r, 3), "#", i)
						case 1:
							u.DisplayName = someText(r, 3)
						case 2:
							u.Email = someText(r, 2)
						default: // nothing that is searched
							u.Active = !u.Active
						}
						return nil
					})
					must(t, err)
					all[at] = *u
				case n == 8:
					must(t, db.CreateGroup(t.Context(), "public", &core.Group{Name: fmt.Sprint("group ", i)}, nil))
				case n == 9: // the lines are lost, and so is what was known
					must(t, db.Exec(t.Context(), "public", `DELETE FROM outbox`))
				case n == 10: // who is there and gone again
					u := core.User{UserName: fmt.Sprint("user, there for a moment ", i)}
					must(t, db.CreateUser(t.Context(), "public", &u))
					must(t, db.DeleteUser(t.Context(), "public", u.PK))
				default:
					u := core.User{UserName: fmt.Sprint(someText(r, 3), "#", i), DisplayName: someText(r, 3), Email: someText(r, 2), Active: i%2 == 0}
					must(t, db.CreateUser(t.Context(), "public", &u))
					all = append(all, u)
				}
				for range r.IntN(3) {
					db := nodes[r.IntN(len(nodes))]
					db.Calm()
					if db.TextsSize() > 0 {
						inMemory++
					}
					q := api.Query{Search: someText(r, 2), Order: []string{[]string{"username", "-username", "pk", "-pk", "name"}[r.IntN(5)]},
						Limit: 1 + r.IntN(20), Offset: r.IntN(4) * r.IntN(30)}
					if core.Fold(q.Search) == "" {
						q.Search = "e"
					}
					switch r.IntN(6) {
					case 0:
						q.Where = map[string][]string{"is_active": {"true"}}
					case 1:
						q.Only = []string{fmt.Sprint(all[0].PK), fmt.Sprint(all[len(all)/2].PK)}
					}
					search(fmt.Sprint("after ", i), db, q)
					search(fmt.Sprint("again after ", i), db, q)
				}
			}
			if inMemory < 100 {
				t.Errorf("texts were in memory for %d searches only", inMemory)
			}
			// The control: what no line tells of is not noticed, until the lines are doubted.
			db, q := nodes[0], api.Query{Search: "nobody-has-this", Order: []string{"username"}, Limit: 10}
			search("before the control", db, api.Query{Search: "e", Order: q.Order, Limit: 10}) // has them read: trigrams tell that nobody has the other
			db.Calm()
			search("before the control", db, q)
			must(t, db.Exec(t.Context(), "public", `UPDATE users SET email = $1, email_fold = $1 WHERE pk = $2`, q.Search, all[0].PK))
			if _, total := numbers(t, db, q); total != 0 {
				t.Errorf("%d were found without a line of the outbox", total)
			}
			all[0].Email = q.Search
			db.Doubt(t.Context(), "public")
			search("after the control", db, q)
		})
	}
}

// Whoever searches while others come and go finds everybody who stays.
func TestTextsWhilePeopleComeAndGo(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			again(t, place(t), func(db *sqldb.DB) {
				db.Texts()
				multitude(t, db, 2500)
				var acts sync.WaitGroup
				for w := range 2 {
					acts.Go(func() {
						for i := range 20 {
							u := &core.User{UserName: fmt.Sprint("person new ", w, " ", i)}
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
						for range 20 {
							users, total, err := db.ListUsers(t.Context(), "public", api.Query{Search: "person2", Order: []string{"username"}, Limit: 1000})
							// 2, 20 to 29, 200 to 299, 2000 to 2500
							if err != nil || len(users) != 612 || total != 612 {
								t.Errorf("%d of %d: %v", len(users), total, err)
								return
							}
						}
					})
				}
				acts.Wait()
				db.Calm()
				if _, total := numbers(t, db, api.Query{Search: "person"}); total != 2520 {
					t.Errorf("%d, want 2520", total)
				}
			})
		})
	}
}

// Once texts are in memory a search reads no more users than it shows, however many it finds,
// and reads them by their number.
func TestSearchesReadTheirPage(t *testing.T) {
	for name, place := range places() {
		t.Run(name, func(t *testing.T) {
			again(t, place(t), func(db *sqldb.DB) {
				multitude(t, db, 6000)
				if name == "postgres" {
					must(t, db.Exec(t.Context(), "public", `ANALYZE`))
				}
				numbers(t, db, api.Query{}) // a list has texts read
				db.Calm()
				for _, q := range []api.Query{
					{Search: "person"}, {Search: "e"}, {Search: "on"}, {Search: "per son"}, {Search: "person", Order: []string{"username"}},
					{Search: "9", Order: []string{"username"}}, {Search: "e", Order: []string{"-username"}, Offset: 3000}, {Search: "z"}, {Search: "person 59 9"},
				} {
					var asked [][]any
					db.Trace(func(_ core.TenantID, query string, args []any) { asked = append(asked, append([]any{query}, args...)) })
					got, total := numbers(t, db, q)
					db.Trace(nil)
					if q.Search != "z" && (len(got) == 0 || total < len(got)) || q.Search == "z" && total > 0 {
						t.Errorf("%+v: %d of %d", q, len(got), total)
					}
					if len(asked) == 0 || len(asked) > 4 { // lines, page, memberships and roles
						t.Errorf("%+v: asked %d statements", q, len(asked))
					}
					wrong := map[string]func(string, []string) string{"sqlite": sqliteWrong, "postgres": postgresWrong}[name]
					for _, a := range asked {
						query := a[0].(string)
						plan, err := db.Explain(t.Context(), "public", query, a[1:])
						must(t, err)
						if what := wrong(query, plan); what != "" && strings.Contains(query, "FROM users") { // other tables are small here
							t.Errorf("%+v: %s\n\t%s", q, query, what)
						}
					}
				}
			})
		})
	}
}

// Texts go from memory when nobody searches; they are not read where those of tenants take too much.
func TestTextsAreDropped(t *testing.T) {
	again(t, places()["sqlite"](t), func(db *sqldb.DB) {
		db.Texts()
		for i := range 20 {
			must(t, db.CreateUser(t.Context(), "public", &core.User{UserName: fmt.Sprint("user ", i)}))
		}
		search := func() {
			t.Helper()
			if _, total := numbers(t, db, api.Query{Search: "se"}); total != 20 {
				t.Fatalf("%d, want 20", total)
			}
			db.Calm()
		}
		search()
		if db.TextsSize() == 0 {
			t.Fatal("nothing is in memory")
		}
		db.ForgetPeople("public")
		db.TextsIdle(time.Millisecond)
		search()
		for began := time.Now(); db.TextsSize() > 0; time.Sleep(time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal("texts are kept for ever")
			}
		}
		db.TextsIdle(time.Hour)
		db.Indexed()
		search()
		if n := db.TextsSize(); n > 0 {
			t.Errorf("%d bytes are kept where there is no room", n)
		}
	})
}

// However many tenants search at the same moment, no more is read than there is room for. The control is one after the
// other without it: texts of two.
func TestTextsOfManyTenants(t *testing.T) {
	again(t, places()["sqlite"](t), func(db *sqldb.DB) {
		var tenants []core.TenantID
		for i := range 6 {
			id := core.TenantID(fmt.Sprint("t_", i))
			_, err := db.CreateTenant(t.Context(), id, string(id))
			must(t, err)
			for n := range 20 {
				must(t, db.CreateUser(t.Context(), id, &core.User{UserName: fmt.Sprint("user ", n)}))
			}
			tenants = append(tenants, id)
		}
		search := func(id core.TenantID) {
			if _, total, err := db.ListUsers(t.Context(), id, api.Query{Search: "se"}); err != nil || total != 20 {
				t.Errorf("%s: %d %v", id, total, err)
			}
		}
		db.TextsOfOne()
		var searching sync.WaitGroup
		for _, id := range tenants {
			searching.Go(func() { search(id) })
		}
		searching.Wait()
		db.Calm()
		one := db.TextsSize()
		db.Texts()
		for _, id := range tenants {
			db.ForgetPeople(id)
		}
		for i, id := range tenants[:2] {
			search(id)
			db.Calm()
			if size := db.TextsSize(); one == 0 || size != one*(i+1) {
				t.Errorf("control: %d tenants' texts take %d bytes; with room for one, all took %d", i+1, size, one)
			}
		}
	})
}
