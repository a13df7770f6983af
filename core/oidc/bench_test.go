package oidc_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/session"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// Code exchange and refresh, each beside its ceiling: the two bare signatures that
// it cannot do without. Eight at a time for each processor, as a server under load has them: who
// waits for the disk leaves the processor to another. Codes are made outside of the measured time.
func BenchmarkExchange(b *testing.B) { storagetest.OnEngines(b, benchmarkExchange) }

func benchmarkExchange(b *testing.B, empty func(testing.TB) sqldb.Options) {
	for _, alg := range []string{"rsa", "ecdsa"} {
		w := newWorldAt(b, empty(b))
		w.op.Sessions = &session.Sessions{Store: w.db, Users: w.db, Now: w.clock.Now} // from memory, as the product has it
		kp, err := keys.Generate(alg, alg, nil, 0, w.clock.Now())
		check(b, err)
		check(b, w.db.CreateKeyPair(b.Context(), tenantID, kp))
		w.updateClient(func(c *core.Client) { c.SigningKey, c.CodeValidity = kp.ID, "hours=10" })
		key, err := keys.Parse(kp)
		check(b, err)
		var ceiling float64 // ns for two signatures
		b.Run(alg+"/two-signatures", func(b *testing.B) {
			payload := bytes.Repeat([]byte("x"), 600)
			parallel(b, func(int) {
				for range 2 {
					if _, err := key.Sign(payload); err != nil {
						b.Error(err)
					}
				}
			})
			ceiling = perOperation(b)
		})
		b.Run(alg+"/code", func(b *testing.B) {
			person := w.browser(w.alice)
			person.signIn()
			codes := make([]string, b.N)
			for i := range codes {
				codes[i] = person.code("scope", "openid email profile")
			}
			parallel(b, func(i int) {
				w.serve(b, "token/", url.Values{"grant_type": {"authorization_code"}, "code": {codes[i]}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}})
			})
			b.ReportMetric(100*ceiling/perOperation(b), "%of-signatures")
		})
		b.Run(alg+"/refresh", func(b *testing.B) {
			tokens := make([]string, b.N)
			for i := range tokens {
				tokens[i] = w.tokens(offline).Refresh
			}
			parallel(b, func(i int) {
				w.serve(b, "token/", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens[i]}})
			})
			b.ReportMetric(100*ceiling/perOperation(b), "%of-signatures")
		})
	}
}

func perOperation(b *testing.B) float64 { return float64(b.Elapsed().Nanoseconds()) / float64(b.N) }

// parallel runs f for each of 0 to b.N-1, and reports the processor time of one.
func parallel(b *testing.B, f func(i int)) {
	b.Helper()
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(8)
	before := processorTime()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			f(int(next.Add(1)) - 1)
		}
	})
	b.StopTimer()
	b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func BenchmarkRead(b *testing.B) {
	w := newWorld(b)
	access := w.tokens("openid email profile").Access
	for name, path := range map[string]string{"discovery": "app/.well-known/openid-configuration", "jwks": "app/jwks/", "userinfo": "userinfo/"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, w.server.URL+"/application/o/"+path, nil)
				r.Header.Set("Authorization", "Bearer "+access)
				rec := httptest.NewRecorder()
				w.op.ServeHTTP(rec, r.WithContext(w.ctx()))
				if rec.Code != http.StatusOK {
					b.Fatalf("%d %s", rec.Code, rec.Body)
				}
			}
		})
	}
}

// serve posts a form without a network between.
func (w *world) serve(b *testing.B, path string, form url.Values) string {
	r := httptest.NewRequest(http.MethodPost, w.server.URL+"/application/o/"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("app", secret)
	rec := httptest.NewRecorder()
	w.op.ServeHTTP(rec, r.WithContext(w.ctx()))
	if rec.Code != http.StatusOK {
		b.Errorf("%d %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}
