package oidc_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/session"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// Code exchange and refresh, each beside its ceiling: the two bare signatures that
// it cannot do without. Codes, and the client's requests with them, are made outside of the measured time, but
// shortly before: a client redeems one within the second, and only so many are remembered.
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
		payload := bytes.Repeat([]byte("x"), 600)
		signatures := func(int) {
			for range 2 {
				if _, err := key.Sign(payload); err != nil {
					b.Error(err)
				}
			}
		}
		b.Run(alg+"/code", func(b *testing.B) {
			person := w.browser(w.alice)
			person.signIn()
			requests := make([]*http.Request, b.N)
			storagetest.BesideMade(b, "signatures", signatures, func(i int) {
				requests[i] = w.form("token/", url.Values{"grant_type": {"authorization_code"}, "code": {person.code("scope", "openid email profile")}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}})
			}, func(i int) {
				w.serve(b, requests[i])
			})
		})
		b.Run(alg+"/refresh", func(b *testing.B) {
			requests := make([]*http.Request, b.N)
			for i := range requests {
				requests[i] = w.form("token/", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {w.tokens(offline).Refresh}})
			}
			storagetest.Beside(b, "signatures", signatures, func(i int) {
				w.serve(b, requests[i])
			})
		})
	}
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

// form is a client's request as the server has read it.
func (w *world) form(path string, form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, w.server.URL+"/application/o/"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("app", secret)
	return r.WithContext(w.ctx())
}

// serve answers a request without a network between.
func (w *world) serve(b *testing.B, r *http.Request) {
	rec := httptest.NewRecorder()
	w.op.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		b.Errorf("%d %s", rec.Code, rec.Body)
	}
}
