package mediastore_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core/media"
	"github.com/postern-sso/postern/storage/mediastore"
	"github.com/postern-sso/postern/storage/storagetest"
)

func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// edge is a proxy in front of MinIO that keeps the Host, as a CDN does, and a browser that finds
// every host there.
func edge(t testing.TB, m *storagetest.MinIO, secure bool) *http.Client {
	t.Helper()
	h := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: m.Addr})
		r.Out.Host = r.In.Host
	}}
	s := httptest.NewUnstartedServer(h)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
}

// M-11: MinIO takes the URLs at a host of ours, with the bucket in the path and in the host, by http and
// https, and refuses them changed in anything, at another host and afterwards.
func TestPresign(t *testing.T) {
	m := storagetest.StartMinIO(t, "MINIO_DOMAIN=s3.provider")
	bucket := m.Bucket()
	for _, domain := range []string{"s3.provider/" + bucket, "s3.provider:9443/" + bucket + "/", bucket + ".s3.provider", bucket + ".S3.provider:443"} {
		for _, plain := range []bool{false, true} {
			if plain && strings.HasSuffix(domain, ":443") {
				continue
			}
			s := s3Of(t, m, func(o *mediastore.S3Options) {
				o.Bucket, o.CustomDomain, o.Plain, o.Region = bucket, domain, plain, "us-east-1"
			})
			if err := s.Put(t.Context(), "t_a", "application-icons/a.png", strings.NewReader("icon")); err != nil {
				t.Fatal(err)
			}
			browser := edge(t, m, !plain)
			get := func(method, u string) int {
				t.Helper()
				r, err := http.NewRequestWithContext(t.Context(), method, u, nil)
				if err != nil {
					t.Fatal(err)
				}
				a, err := browser.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer a.Body.Close()
				b, err := io.ReadAll(a.Body)
				if a.StatusCode == http.StatusOK && method == http.MethodGet && string(b) != "icon" {
					t.Errorf("%s: %q, %v", u, b, err)
				}
				return a.StatusCode
			}
			from := time.Now().Add(-time.Minute).Truncate(time.Second)
			u := s.Presign("t_a", "application-icons/a.png", media.Options{}, from, from.Add(15*time.Minute))
			scheme := "https://"
			if plain {
				scheme = "http://"
			}
			want := scheme + strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(domain, ":443"), "/")) + "/media/t_a/application-icons/a.png?"
			if !strings.HasPrefix(u, want) || !strings.Contains(u, "&X-Amz-Expires=900&") {
				t.Errorf("%s, want %s", u, want)
			}
			if got := get(http.MethodGet, u); got != http.StatusOK {
				t.Errorf("%s: %d", u, got)
			}
			ahead := time.Now().Add(90 * time.Minute)
			if u := s.Presign("t_a", "application-icons/a.png", media.Options{}, ahead, ahead.Add(15*time.Minute)); get(http.MethodGet, u) != http.StatusOK || !strings.Contains(u, "&X-Amz-Expires=900&") {
				t.Errorf("with a clock that is ahead: %s", u)
			}
			down := s.Presign("t_a", "application-icons/a.png", media.Options{Download: true}, from, from.Add(15*time.Minute))
			if got := get(http.MethodGet, down); got != http.StatusOK || down == u {
				t.Errorf("%s: %d", down, got)
			}
			old := time.Now().Add(-time.Hour)
			for what, changed := range map[string]string{
				"no signature": want,
				"another name": strings.Replace(u, "a.png", "b.png", 1),
				"a tenant":     strings.Replace(u, "t_a/", "t_b/", 1),
				"longer":       strings.Replace(u, "Expires=900", "Expires=9000", 1),
				"another host": strings.Replace(u, "s3.provider", "x.s3.provider", 1),
				"inline":       strings.Replace(u, "=attachment", "=inline", 1),
				"over":         s.Presign("t_a", "application-icons/a.png", media.Options{}, old, old.Add(15*time.Minute)),
			} {
				if got := get(http.MethodGet, changed); got == http.StatusOK || changed == u {
					t.Errorf("%s: %s: %d", what, changed, got)
				}
			}
			for _, method := range []string{http.MethodPut, http.MethodDelete} {
				if got := get(method, u); got < 400 {
					t.Errorf("%s: %d", method, got)
				}
			}
		}
	}
}

// A URL asks nobody, is the same in its time, says nothing secret, and is none where there is no domain or
// nothing to sign with.
func TestPresignLocal(t *testing.T) {
	now := time.Now()
	options := mediastore.S3Options{
		Endpoint: "http://192.0.2.1:9", Bucket: "authentik-media", Region: "eu-west-1", CustomDomain: "s3.provider/authentik-media",
		AccessKey: "AKID", SecretKey: "very-secret", SessionToken: "to/ken+=", Cache: t.TempDir(),
	}
	s, err := mediastore.NewS3(options)
	if err != nil {
		t.Fatal(err)
	}
	one := s.Presign("public", "a.png", media.Options{}, now, now.Add(time.Minute))
	if two := s.Presign("public", "a.png", media.Options{}, now, now.Add(time.Minute)); one != two || !strings.Contains(one, "Security-Token=to%2Fken%2B%3D&") || strings.Contains(one, "very-secret") {
		t.Errorf("%s\n%s", one, two)
	}
	for _, name := range append(storagetest.WrongMediaNames(), "") {
		if u := s.Presign("public", name, media.Options{}, now, now.Add(time.Minute)); u != "" {
			t.Errorf("%q: %s", name, u)
		}
	}
	for what, change := range map[string]func(*mediastore.S3Options){
		"domain": func(o *mediastore.S3Options) { o.CustomDomain = "" },
		"region": func(o *mediastore.S3Options) { o.Region = "" },
	} {
		o := options
		change(&o)
		s, err := mediastore.NewS3(o)
		if err != nil {
			t.Fatal(err)
		}
		if u := s.Presign("public", "a.png", media.Options{}, now, now.Add(time.Minute)); u != "" {
			t.Errorf("without %s: %s", what, u)
		}
	}
}

// Where the region is not set, the first URLs lead to this server, and later ones do not.
func TestPresignLearns(t *testing.T) {
	m := storagetest.StartMinIO(t, "MINIO_REGION=eu-central-7")
	bucket := m.Bucket()
	s := s3Of(t, m, func(o *mediastore.S3Options) { o.Bucket, o.CustomDomain, o.Plain = bucket, m.Addr+"/"+bucket, true })
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		now := time.Now()
		if u := s.Presign("public", "a.png", media.Options{}, now, now.Add(time.Minute)); u != "" {
			if !strings.Contains(u, "%2Feu-central-7%2F") {
				t.Error(u)
			}
			return
		}
	}
	t.Error("it never learns the region")
}
