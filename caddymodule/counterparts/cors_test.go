package counterparts_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/postern-sso/postern/caddymodule/porttest"
)

// `media setup` gives a bucket authentik's rule for the pages of all tenants, as the AWS CLI reads it, and the store
// then lets those read and no others. s3rver is for CORS alone: it looks at signatures less closely than MinIO.
func TestBucketCORS(t *testing.T) {
	ran(t, "s3rver")
	ran(t, "caddy")
	const key = "S3RVER" // the only one that it knows, and its own secret
	address := "127.0.0.1:" + porttest.Free(t)
	_, port, _ := strings.Cut(address, ":")
	store := run(t, nil, counterpart(t, "POSTERN_TEST_S3RVER"), "--directory", t.TempDir(), "--address", "127.0.0.1", "--port", port, "--no-vhost-buckets")
	store.answers(t, "http://"+address+"/", http.StatusOK)

	p := startPostern(t, append(bootstrapped(), "AUTHENTIK_STORAGE__MEDIA__BACKEND=s3", "AUTHENTIK_STORAGE__MEDIA__S3__ENDPOINT=http://"+address,
		"AUTHENTIK_STORAGE__MEDIA__S3__BUCKET_NAME=authentik-media", "AUTHENTIK_STORAGE__MEDIA__S3__ACCESS_KEY="+key, "AUTHENTIK_STORAGE__MEDIA__S3__SECRET_KEY="+key,
		"AUTHENTIK_STORAGE__MEDIA__S3__CUSTOM_DOMAIN="+address+"/authentik-media", "AUTHENTIK_STORAGE__MEDIA__S3__SECURE_URLS=false")...)
	if out, err := p.media(t, "setup", "--origin", "https://authentik.company"); err != nil || !strings.Contains(out, "is made.") || !strings.Contains(out, "Pages of https://authentik.company may read from it (CORS).") ||
		!strings.Contains(out, "A signed URL of "+address+"/authentik-media works.") || strings.Contains(out, "WARNING") {
		t.Fatalf("%v\n%s", err, out)
	}
	type rule struct {
		AllowedOrigins, AllowedHeaders, AllowedMethods []string
		MaxAgeSeconds                                  int
	}
	reads := func(origins ...string) {
		t.Helper()
		cmd := exec.Command(counterpart(t, "POSTERN_TEST_AWS"), "--endpoint-url=http://"+address, "s3api", "get-bucket-cors", "--bucket=authentik-media", "--output=json")
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+key, "AWS_SECRET_ACCESS_KEY="+key, "AWS_DEFAULT_REGION=us-east-1", "HOME="+t.TempDir())
		out, err := cmd.Output()
		var got struct{ CORSRules []rule }
		if err != nil || json.Unmarshal(out, &got) != nil || !reflect.DeepEqual(got.CORSRules, []rule{{origins, []string{"Authorization"}, []string{http.MethodGet}, 3000}}) {
			t.Errorf("%v: %s", err, out)
		}
	}
	may := func(method, origin string) bool {
		t.Helper()
		r, err := http.NewRequest(http.MethodOptions, "http://"+address+"/authentik-media/media/public/a.png", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization"} {
			r.Header.Set(name, value)
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		return a.StatusCode == http.StatusOK && a.Header.Get("Access-Control-Allow-Origin") != ""
	}
	reads("https://authentik.company")
	if !may(http.MethodGet, "https://authentik.company") || may(http.MethodPut, "https://authentik.company") || may(http.MethodGet, "http://authentik.company") || may(http.MethodGet, "https://acme.example") {
		t.Error("the store does not keep to the rule")
	}

	p.online(t, "tenant", "create", "t_acme", "--domain", "acme.example")
	if out, err := p.media(t, "setup"); err != nil || !strings.Contains(out, "is there.") || strings.Contains(out, "WARNING") {
		t.Fatalf("%v\n%s", err, out)
	}
	acme := "http://acme.example:" + p.port // as the site has it
	reads(p.url(), acme)
	if !may(http.MethodGet, acme) || !may(http.MethodGet, p.url()) || may(http.MethodGet, "https://authentik.company") {
		t.Error("the store does not keep to the rule of the tenants' hosts")
	}
	if p.uploads(t, "a.png") != http.StatusOK {
		t.Error("it takes no upload")
	}
	if out, err := p.media(t, "setup", "--origin", "https://*.example"); err == nil {
		t.Errorf("a pattern of hosts is taken: %s", out)
	}
}
