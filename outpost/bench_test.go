package outpost_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/outpost"
)

// BenchmarkServe is a guarded request of a live session beside the same request without a
// guard. The store is a map: what is measured is the guard's own share.
func BenchmarkServe(b *testing.B) {
	w := newWorld(b)
	br := w.browser()
	br.login(app + "/")
	h := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNoContent) })
	info := &core.RequestInfo{Tenant: w.tenant, Scheme: "https", Host: "app.a.test", URI: "/x/y?z=1"}
	request := func() *http.Request {
		r := httptest.NewRequest("GET", "/x/y?z=1", nil)
		for i := range 8 {
			r.Header.Set(fmt.Sprintf("Accept-%d", i), "x")
		}
		return r
	}
	for name, serve := range map[string]func(rw http.ResponseWriter, r *http.Request){
		"unguarded": h.ServeHTTP,
		"guarded": func(rw http.ResponseWriter, r *http.Request) {
			w.out.Serve(rw, r, info, w.guard, func(rw http.ResponseWriter, r *http.Request, _ *outpost.Identity) { h(rw, r) })
		},
	} {
		b.Run(name, func(b *testing.B) {
			r, cookie := request(), []string{br.cookies()}
			rw := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				r.Header["Cookie"] = cookie
				serve(rw, r)
			}
			if rw.Code != http.StatusNoContent {
				b.Fatalf("status %d", rw.Code)
			}
		})
	}
}
