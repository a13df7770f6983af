package api_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// BenchmarkREST lists a page of a hundred users, each in a group, and creates groups over the API, each
// beside its ceiling: the same call of the store.
func BenchmarkREST(b *testing.B) { storagetest.OnEngines(b, benchmarkREST) }

func benchmarkREST(b *testing.B, empty func(testing.TB) sqldb.Options) {
	e := openAt(b, empty(b))
	for i := range 100 {
		e.person(fmt.Sprint("person", i), e.groupWith(fmt.Sprint("of person", i)))
	}
	serve := func(b *testing.B, status int, method, path string, body any) {
		r := e.request(method, path, body)
		r.Header.Set("Authorization", "Bearer "+e.root)
		w := httptest.NewRecorder()
		e.api.ServeHTTP(w, r)
		if w.Code != status {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	n := 0
	for _, c := range []struct {
		name       string
		store, api func(b *testing.B)
	}{
		{"list", func(b *testing.B) {
			if _, _, err := e.db.ListUsers(b.Context(), core.DefaultTenant, api.Query{Limit: 100}); err != nil {
				b.Fatal(err)
			}
		}, func(b *testing.B) { serve(b, 200, "GET", "core/users/", nil) }},
		{"create", func(b *testing.B) {
			n++
			if err := e.db.CreateGroup(b.Context(), core.DefaultTenant, &core.Group{Name: fmt.Sprint("group ", n)}, nil); err != nil {
				b.Fatal(err)
			}
		}, func(b *testing.B) {
			n++
			serve(b, 201, "POST", "core/groups/", map[string]any{"name": fmt.Sprint("group ", n)})
		}},
	} {
		var ceiling float64
		b.Run(c.name+"/store", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.store(b)
			}
			ceiling = float64(b.Elapsed().Nanoseconds()) / float64(b.N)
		})
		b.Run(c.name+"/api", func(b *testing.B) {
			b.ReportAllocs()
			c.api(b) // what the first call finds out for all
			for b.Loop() {
				c.api(b)
			}
			b.ReportMetric(100*ceiling*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "%of-store")
		})
	}
}
