package counterparts_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// L-11: a server starts, people log in, see their applications and are sent on to them without one call to the
// store of pictures, whether that refuses or hangs. The control asks for a picture.
func TestBucketAsksNobody(t *testing.T) {
	var asked atomic.Int64
	var hangs atomic.Bool
	over := make(chan struct{})
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if hangs.Load() {
			select {
			case <-over:
			case <-r.Context().Done():
			}
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(func() { close(over); store.Close() })
	m := &minioServer{address: strings.TrimPrefix(store.URL, "http://")}
	p := startPostern(t, append(append(bootstrapped(), m.guide(t)...), "AUTHENTIK_STORAGE__MEDIA__S3__CUSTOM_DOMAIN=")...)
	brand, _ := p.first(t, "/core/brands/")["brand_uuid"].(string)
	p.api(t, http.MethodPatch, "/core/brands/"+brand+"/", `{"branding_logo":"brand/logo.png"}`, http.StatusOK)
	p.addUser(t, "alice")
	wiki := p.seedApplication(t, "wiki", "http://127.0.0.1:1/callback", "return {}")
	logo := ""
	for _, hanging := range []bool{false, true} {
		hangs.Store(hanging)
		before := asked.Load()
		page := newBrowser(t).login(p.url()+"/if/user/", "alice")
		if page.status != http.StatusOK || !strings.Contains(page.body, "/files/media/public/brand/logo.png?token=") {
			t.Fatalf("My applications: %d %s", page.status, tail(page.body, 1000))
		}
		logIn(t, wiki, "alice", "profile", "email")
		if n := asked.Load() - before; n != 0 {
			t.Errorf("hanging %v: the store was asked %d times", hanging, n)
		}
		if logo == "" {
			_, rest, _ := strings.Cut(page.body, "/files/media/public/brand/logo.png?token=")
			logo, _, _ = strings.Cut(rest, "\"")
		}
	}
	hangs.Store(false)
	before := asked.Load()
	a, err := http.Get(p.url() + "/files/media/public/brand/logo.png?token=" + logo)
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if a.StatusCode != http.StatusServiceUnavailable || asked.Load() == before {
		t.Errorf("control: %s, and the store was asked %d times", a.Status, asked.Load()-before)
	}
}
