package sqldb_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/policy"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// asked are the distinct statements that stores were heard asking, with the arguments
// that each had first.
type asked struct {
	mu   sync.Mutex
	args map[string][]any
}

func (a *asked) listen(db *sqldb.DB) {
	db.Trace(func(_ core.TenantID, query string, args []any) {
		a.mu.Lock()
		defer a.mu.Unlock()
		query = strings.Join(strings.Fields(query), " ")
		if _, met := a.args[query]; !met && !strings.HasPrefix(query, "PRAGMA") {
			a.args[query] = slices.Clone(args)
		}
	})
}

// collect walks over a store as all its callers together do: each of its methods, and
// every list of the API by each of its filters, searched and in each of its orders.
func collect(t *testing.T, open storagetest.Open) *asked {
	t.Helper()
	a := &asked{args: map[string][]any{}}
	var db *sqldb.DB
	storagetest.Walk(t, func(t *testing.T, now func() time.Time) storagetest.Store {
		db = open(t, now).(*sqldb.DB)
		a.listen(db)
		return db
	})
	walkLists(t, db)
	walkFiles(t, db)
	walkTexts(t, db)
	if len(a.args) < 400 {
		t.Fatalf("heard %d statements only", len(a.args))
	}
	return a
}

// parameter is one of the API's document.
type parameter struct {
	Name, In, Description string
	Schema                struct {
		Type, Format string
		Enum         []string
		Default      any
		Items        struct{ Type, Format string }
	}
}

// apiOf asks the API over a store, as a superuser.
func apiOf(t *testing.T, db *sqldb.DB) (get func(path string, query url.Values) (int, []byte)) {
	t.Helper()
	admins := &core.Group{Name: "who walk over lists", Superuser: true}
	must(t, db.CreateGroup(t.Context(), core.DefaultTenant, admins, nil))
	u := &core.User{UserName: "who walks over lists", Active: true, Groups: []core.GroupID{admins.ID}}
	must(t, db.CreateUser(t.Context(), core.DefaultTenant, u))
	must(t, db.CreateToken(t.Context(), core.DefaultTenant, &core.Token{Identifier: "walk", Intent: core.IntentAPI, User: u.ID}, "the key"))
	tenant, err := db.Tenant(t.Context(), core.DefaultTenant)
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	h := &api.Handler{Store: db, TenantsKey: "the tenants key", Logins: db, Now: db.Now, Log: log, Policy: &policy.Engine{Store: db, Now: db.Now, Log: log}}
	return func(path string, query url.Values) (int, []byte) {
		r := httptest.NewRequest(http.MethodGet, "http://auth.test/api/v3"+path+"?"+query.Encode(), nil)
		r.Header.Set("Authorization", "Bearer the key")
		if strings.HasPrefix(path, "/tenants/") {
			r.Header.Set("Authorization", "Bearer the tenants key")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(core.WithRequest(t.Context(), &core.RequestInfo{Tenant: tenant, Scheme: "http", Host: "auth.test",
			ClientIP: netip.MustParseAddr("192.0.2.7"), URI: r.URL.RequestURI(), ID: "r"})))
		return w.Code, w.Body.Bytes()
	}
}

// listsOf are the lists of the API's document, by path, with their parameters.
func listsOf(t *testing.T, get func(string, url.Values) (int, []byte)) map[string][]parameter {
	t.Helper()
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string
			Parameters  []parameter
		}
	}
	_, body := get("/schema/", url.Values{"format": {"json"}})
	must(t, json.Unmarshal(body, &document))
	out := map[string][]parameter{}
	for path, methods := range document.Paths {
		op, ok := methods["get"]
		if ok && !strings.Contains(path, "{") && slices.ContainsFunc(op.Parameters, func(p parameter) bool { return p.Name == "page" }) {
			out[path] = op.Parameters
		}
	}
	if len(out) < 10 {
		t.Fatalf("the document has %d lists only", len(out))
	}
	return out
}

// always is what a list refuses to be asked without.
func always(path string) url.Values {
	if strings.HasSuffix(path, "/assigned_by_roles/") {
		return url.Values{"model": {"authentik_core.user"}}
	}
	return url.Values{}
}

// walkFiles does what Caddy does.
func walkFiles(t *testing.T, db *sqldb.DB) {
	t.Helper()
	must(t, db.StoreFile(t.Context(), "a/b", nil))
	for _, key := range []string{"a", "a/b"} {
		_, err := db.FileInfo(t.Context(), key)
		must(t, err)
		_, err = db.ListFiles(t.Context(), key, true)
		must(t, err)
	}
	_, err := db.LoadFile(t.Context(), "a/b")
	must(t, err)
	must(t, db.DeleteFiles(t.Context(), "a"))
	locks := db.NewLocks()
	must(t, locks.Lock(t.Context(), "a"))
	must(t, locks.Renew(t.Context(), "a"))
	must(t, locks.Unlock(t.Context(), "a"))
}

// walkTexts searches until texts are in memory, and once what is there has changed.
func walkTexts(t *testing.T, db *sqldb.DB) {
	t.Helper()
	db.ForgetPeople(core.DefaultTenant)
	db.Texts()
	for i := range 2 {
		must(t, db.CreateUser(t.Context(), core.DefaultTenant, &core.User{UserName: fmt.Sprint("found in memory ", i)}))
		numbers(t, db, api.Query{Search: "memory", Order: []string{"username"}})
		numbers(t, db, api.Query{Search: "e", Order: []string{"username"}})
		db.Calm()
	}
}

func walkLists(t *testing.T, db *sqldb.DB) {
	t.Helper()
	get := apiOf(t, db)
	lists := listsOf(t, get)
	for _, path := range slices.Sorted(maps.Keys(lists)) {
		if code, _ := get(path, always(path)); code != http.StatusOK {
			t.Errorf("%s: %d", path, code)
		}
		for _, p := range lists[path] {
			for _, value := range p.values() {
				query := always(path)
				query.Set(p.Name, value)
				if code, _ := get(path, query); code != http.StatusOK && code != http.StatusNotFound && p.answered() {
					t.Errorf("%s?%s=%s: %d", path, p.Name, value, code)
				}
			}
		}
	}
}

// values are some that a list's parameter takes.
func (p *parameter) values() []string {
	kind, format := p.Schema.Type, p.Schema.Format
	if kind == "array" {
		kind, format = p.Schema.Items.Type, p.Schema.Items.Format
	}
	switch {
	case p.Name == "ordering":
		_, names, _ := strings.Cut(strings.TrimSuffix(p.Description, "."), "order: ")
		var out []string
		for name := range strings.SplitSeq(names, ", ") {
			out = append(out, name, "-"+name)
		}
		return out
	case p.Name == "attributes":
		return []string{`{"key": "value"}`}
	case p.Name == "model":
		return []string{"authentik_core.user"}
	case len(p.Schema.Enum) > 0:
		return p.Schema.Enum[:1]
	case kind == "boolean":
		return []string{"true"}
	case kind == "integer":
		return []string{"1"}
	case format == "uuid":
		return []string{"00000000-0000-7000-8000-00000000dead"}
	case format == "date-time":
		return []string{"2026-03-01T12:00:00Z"}
	}
	return []string{"some-value"}
}

// answered is false for what is known to the API and refused in its own words.
func (p *parameter) answered() bool {
	return !slices.Contains([]string{"roles_by_name", "roles_by_pk", "authorization_flow__slug__iexact"}, p.Name)
}

// planner is whose plans are looked at.
type planner struct {
	postgres bool
	rows     int // of each table: PostgreSQL reads small ones in whole
	wrong    func(query string, plan []string) string
	analyzed []bool
}

// explains looks at the plan of every statement on tables of thousands of rows.
func (p planner) explains(t *testing.T, open storagetest.Open) {
	t.Helper()
	a := collect(t, open)
	for _, analyze := range p.analyzed {
		t.Run(map[bool]string{true: "analyzed", false: "as it grew"}[analyze], func(t *testing.T) {
			db := open(t, storagetest.NewClock().Now).(*sqldb.DB)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // more than a call has by itself
			defer cancel()
			must(t, db.Seed(ctx, core.DefaultTenant, p.rows, analyze))
			explain := func(query string, args ...any) string {
				plan, err := db.Explain(ctx, core.DefaultTenant, query, args)
				if err != nil {
					t.Fatalf("%s: %v", query, err)
				}
				return p.wrong(query, plan)
			}
			used := map[string]bool{}
			for _, query := range slices.Sorted(maps.Keys(a.args)) {
				what := explain(query, a.args[query]...)
				if what == "" {
					continue
				}
				if by := allowedBy(query, p.postgres); by != "" {
					used[by] = true
				} else {
					t.Errorf("%s\n\t%s", query, what)
				}
			}
			if analyze {
				for _, al := range allowed() {
					if !used[al.pattern] && al.postgres == p.postgres {
						t.Errorf("nothing needs %q (%s) any more", al.pattern, al.reason)
					}
				}
			}
			// Controls: what has no index is found.
			for _, query := range []string{
				`SELECT u.id FROM users u WHERE u.password_hash = $1`,
				`DELETE FROM grants WHERE nonce = $1`,
				`SELECT s.id FROM sessions s WHERE s.address = $1 ORDER BY s.created`,
				`SELECT e.id FROM events e JOIN users u ON u.password_hash = e.message WHERE e.id = $1`,
			} {
				if explain(query, "x") == "" {
					t.Errorf("not found: %s", query)
				}
			}
			if what := explain(`SELECT id FROM users WHERE id = $1`, "x"); what != "" {
				t.Errorf("found where nothing is wrong: %s", what)
			}
		})
	}
}

// Nobody analyzes a SQLite file but its owner: its plans must be good either way.
func TestSQLitePlans(t *testing.T) {
	planner{rows: 3000, wrong: sqliteWrong, analyzed: []bool{true, false}}.explains(t, openSQLite)
}

func TestPostgresPlans(t *testing.T) {
	planner{postgres: true, rows: 6000, wrong: postgresWrong, analyzed: []bool{true}}.explains(t, postgres(t))
}
