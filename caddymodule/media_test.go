package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
	"github.com/postern-sso/postern/storage/mediastore"
	"github.com/postern-sso/postern/storage/storagetest"
)

// getFile sends a GET to a host, with postern or postern_media there, before a handler that answers 418.
func getFile(t *testing.T, a *App, at, host, uri string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+uri, nil)
	w := httptest.NewRecorder()
	var h caddyhttp.MiddlewareHandler = &Provider{a}
	if at == "postern_media" {
		h = &MediaServer{a}
	}
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(http.StatusTeapot); return nil })
	if err := h.ServeHTTP(w, r, next); err != nil {
		t.Fatal(err)
	}
	return w
}

// Each host serves the files of its own tenant, and an application's folder /media/ stays its own.
func TestMediaHosts(t *testing.T) {
	a := openApp(t, nil)
	s := a.core
	acme, err := s.shared.db.CreateTenant(t.Context(), "t_acme", "Acme")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.shared.db.CreateDomain(t.Context(), &core.Domain{Name: "acme.test", Tenant: acme.ID, Primary: true}); err != nil {
		t.Fatal(err)
	}
	main := defaultOf(t, s)
	for _, tenant := range []*core.Tenant{main, acme} {
		if err := s.media.Store.Put(t.Context(), tenant.ID, "a.png", strings.NewReader("\x89PNG\r\n\x1a\nof "+string(tenant.ID))); err != nil {
			t.Fatal(err)
		}
	}
	ofMain, ofAcme := s.signer.URL(main, "a.png", media.Options{}), s.signer.URL(acme, "a.png", media.Options{})
	for _, c := range []struct {
		at, host, uri string
		status        int
	}{
		{"postern", "auth.test", ofMain, 200},
		{"postern", "acme.test", ofAcme, 200},
		{"postern", "auth.test", strings.Replace(ofMain, "/files", "", 1), 200},
		{"postern", "acme.test", ofMain, 404},
		{"postern", "auth.test", ofAcme, 404},
		{"postern", "auth.test", "/media/public/a.png?token=x", 404},
		{"postern", "auth.test", "/media/public/a.png", 418},
		{"postern", "auth.test", "/media/public/a.png?size=2", 418},
		{"postern", "auth.test", "/files/media/public/a.png", 404},
		{"postern", "auth.test", "/media/photos/a.png", 418},
		{"postern", "auth.test", "/files/a.png", 418},
		{"postern_media", "auth.test", ofMain, 200},
		{"postern_media", "media.test", ofMain, 200},
		{"postern_media", "acme.test", ofAcme, 200},
		{"postern_media", "acme.test", ofMain, 404},
		{"postern_media", "auth.test", "/", 404},
		{"postern_media", "auth.test", "/if/user/", 404},
		{"postern_media", "auth.test", "/media/photos/a.png", 404},
	} {
		w := getFile(t, a, c.at, c.host, c.uri)
		if w.Code != c.status {
			t.Errorf("%s at %s%s: %d %q, want %d", c.at, c.host, c.uri, w.Code, w.Body, c.status)
		}
		if w.Code == 404 && w.Body.String() != "404 page not found\n" {
			t.Errorf("%s at %s%s: %q", c.at, c.host, c.uri, w.Body)
		}
	}
}

// Who may read a file from a page: a host that is nobody's is not the tenant's, although
// its requests are answered.
func TestMediaOwnHosts(t *testing.T) {
	s := openSystem(t)
	acme, err := s.shared.db.CreateTenant(t.Context(), "t_acme", "Acme")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.shared.db.CreateDomain(t.Context(), &core.Domain{Name: "acme.test", Tenant: acme.ID, Primary: true}); err != nil {
		t.Fatal(err)
	}
	main := defaultOf(t, s)
	for _, c := range []struct {
		tenant *core.Tenant
		host   string
		want   bool
	}{
		{main, "auth.test", true}, {acme, "acme.test", true},
		{main, "acme.test", false}, {acme, "auth.test", false}, {main, "evil.test", false}, {acme, "evil.test", false}, {acme, "x.acme.test", false},
	} {
		if got := s.ownHost(t.Context(), c.tenant, c.host); got != c.want {
			t.Errorf("%s is of %s: %v", c.host, c.tenant.ID, got)
		}
	}
}

// The directory need not be there, or be usable, when the server starts: it is asked for when
// somebody wants a file.
func TestMediaStart(t *testing.T) {
	a := openApp(t, nil)
	main := defaultOf(t, a.core)
	url := a.core.signer.URL(main, "a.png", media.Options{})
	if _, err := os.Stat(a.settings.media.dir); !os.IsNotExist(err) {
		t.Errorf("the start made %s: %v", a.settings.media.dir, err)
	}
	if w := getFile(t, a, "postern", "auth.test", url); w.Code != 404 {
		t.Errorf("without a directory: %d", w.Code)
	}
	if err := os.WriteFile(a.settings.media.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if w := getFile(t, a, "postern", "auth.test", url); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("with a file in its place: %d %q", w.Code, w.Body)
	}
	if w := getFile(t, a, "postern", "auth.test", "/-/health/live/"); w.Code != 200 {
		t.Errorf("health: %d", w.Code)
	}
}

// The access log gets no signature of a request that is turned away before anybody looks at it, and Caddy
// writes no line of its own.
func TestMediaTurnedAway(t *testing.T) {
	log, lines := observer.New(zap.InfoLevel)
	a := openApp(t, func(a *App) { a.settings.strictHosts = true })
	a.access.log = zap.New(log)
	closed := &App{log: a.log, failed: errors.New("no database"), access: a.access}
	closed.once.Do(func() {})
	server := &caddyhttp.Server{Logs: &caddyhttp.ServerLogConfig{}}
	for _, c := range []struct {
		app    *App
		uri    string
		status int
		ours   bool
	}{
		{a, "/files/media/public/a.png?token=hush", http.StatusMisdirectedRequest, true},
		{a, "/media/public/a.png?token=hush", http.StatusMisdirectedRequest, true},
		{closed, "/files/media/public/a.png?token=hush", http.StatusServiceUnavailable, true},
		{closed, "/photos/?token=mine", http.StatusServiceUnavailable, false},
	} {
		for _, h := range []caddyhttp.MiddlewareHandler{&Provider{c.app}, &MediaServer{c.app}} {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(context.WithValue(t.Context(), caddyhttp.ServerCtxKey, server), http.MethodGet, "https://nobody.test"+c.uri, nil)
			r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, server)
			caddyhttp.SetVar(r.Context(), "start_time", time.Now().Add(-time.Hour)) // as Caddy notes it
			if err := h.ServeHTTP(w, r, nil); err != nil || w.Code != c.status {
				t.Errorf("%s: %d, %v", c.uri, w.Code, err)
			}
			skipped, _ := caddyhttp.GetVar(r.Context(), caddyhttp.LogSkipVar).(bool)
			text := ""
			for _, line := range lines.TakeAll() {
				encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{})
				b, err := encoder.EncodeEntry(line.Entry, line.Context)
				if err != nil {
					t.Fatal(err)
				}
				text += b.String()
				if took, _ := line.ContextMap()["duration"].(time.Duration); took < time.Hour {
					t.Errorf("%s: its duration is %s", c.uri, took)
				}
			}
			if skipped != c.ours || strings.Contains(text, "?REDACTED") != c.ours || strings.Contains(text, "hush") {
				t.Errorf("%s: Caddy's line is skipped: %t, and ours is %q", c.uri, skipped, text)
			}
		}
	}
}

// what is here of a file in a bucket goes with its tenant, also where another node deletes it and
// the store is not there to ask.
func TestMediaOfDeleted(t *testing.T) {
	for _, told := range []bool{true, false} {
		s := openSystem(t)
		if !told {
			s.shared.db.OnChange = nil
		}
		var away atomic.Bool
		store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if away.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		defer store.Close()
		bucket, err := s.shared.store(mediaSettings{s3: mediastore.S3Options{Endpoint: store.URL, Region: "r", Bucket: "bucket", AccessKey: "a", SecretKey: "b", Cache: t.TempDir(), CacheSize: 1000}})
		if err != nil {
			t.Fatal(err)
		}
		has := func(id core.TenantID) bool {
			f, err := bucket.Open(t.Context(), id, "a.png")
			if err != nil {
				return false
			}
			return f.Close() == nil
		}
		addTenant(t, s, "t_b", "b.test")
		if !has("t_b") || !has("t_bb") {
			t.Fatal("there is no file")
		}
		away.Store(true)
		storagetest.Remove(t, s.shared.db, "t_b")
		if got := has("t_b"); got == told {
			t.Errorf("the deletion is told: %t, the file is there: %t", told, got)
		}
		if !has("t_bb") {
			t.Error("another tenant's file went with it")
		}
	}
}

// Where not all tenants' hosts are known, none are: a rule for some would take the bucket from the others.
func TestTenantOriginsUnknown(t *testing.T) {
	config := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(config, []byte("{\n\tadmin localhost:1\n\tpostern {\n\t\torigin https://auth.test\n\t}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := mediaCommands()[0]
	for name, value := range map[string]string{"address": "localhost:1", "config": config, "adapter": "caddyfile"} {
		cmd.Flags().String(name, value, "")
	}
	if origins, err := tenantOrigins(cmd); err == nil || origins != nil {
		t.Errorf("%q, %v", origins, err)
	}
}
