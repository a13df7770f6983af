package mediastore_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
	"github.com/postern-sso/postern/storage/mediastore"
	"github.com/postern-sso/postern/storage/storagetest"
)

func answer(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// Where AWS is asked, by region and by the bucket's name; a region that is not known is learned.
func TestS3Hosts(t *testing.T) {
	for want, o := range map[string]mediastore.S3Options{
		"https://pictures.s3.amazonaws.com/media/t_a/a":                    {Region: "us-east-1"},
		"https://pictures.s3.eu-west-1.amazonaws.com/media/t_a/a":          {Region: "eu-west-1"},
		"https://pictures.s3.cn-north-1.amazonaws.com.cn/media/t_a/a":      {Region: "cn-north-1"},
		"https://s3.eu-west-1.amazonaws.com/my.pictures/media/t_a/a":       {Region: "eu-west-1", Bucket: "my.pictures"},
		"https://s3.eu-west-1.amazonaws.com/pictures/media/t_a/a":          {Region: "eu-west-1", Addressing: "path"},
		"http://pictures.s3.eu-west-2.amazonaws.com/media/t_a/a":           {Region: "eu-west-2", Insecure: true},
		"https://s3.provider/pictures/media/t_a/a":                         {Endpoint: "https://s3.provider"},
		"https://s3.provider/below/pictures/media/t_a/a":                   {Endpoint: "https://s3.provider/below/"},
		"https://pictures.s3.provider:9000/media/t_a/a":                    {Endpoint: "https://s3.provider:9000", Addressing: "virtual"},
		"https://[2001:db8::1]/pictures/media/t_a/a":                       {Endpoint: "https://[2001:db8::1]"},
		"https://pictures.s3.us-west-2.amazonaws.com/media/t_a/a":          {Endpoint: "https://s3.us-west-2.amazonaws.com"},
		"https://pictures.s3.ap-south-1.amazonaws.com/media/t_a/a learned": {},
	} {
		t.Setenv("AWS_REGION", "")
		t.Setenv("AWS_DEFAULT_REGION", "")
		if o.Bucket == "" {
			o.Bucket = "pictures"
		}
		o.AccessKey, o.SecretKey, o.Cache = "AKID", "secret", t.TempDir()
		s, err := mediastore.NewS3(o)
		if err != nil {
			t.Fatal(err)
		}
		want, learned := strings.CutSuffix(want, " learned")
		asked, signed := "", ""
		mediastore.Answer(s, func(r *http.Request) *http.Response {
			asked, signed = r.URL.String(), r.Header.Get("Authorization")
			if learned && !strings.Contains(signed, "/ap-south-1/") {
				return answer(http.StatusMovedPermanently, "", "X-Amz-Bucket-Region", "ap-south-1")
			}
			return answer(http.StatusOK, "x", "ETag", `"1"`)
		})
		f, err := s.Open(t.Context(), "t_a", "a")
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		if err := f.Close(); err != nil || asked != want || o.Region != "" && !strings.Contains(signed, "/"+o.Region+"/s3/") {
			t.Errorf("asked %s, want %s; %s, %v", asked, want, signed, err)
		}
	}
}

// Keys of a role are fetched when they are needed, and anew before they end; while nobody gives any, the
// old ones serve as long as they are good, and then everybody is told at once.
func TestRole(t *testing.T) {
	m := storagetest.StartMinIO(t)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/keys") // an ECS task's; KeysFrom answers
	role := func() *mediastore.S3 {
		bucket := m.Bucket()
		return s3Of(t, m, func(o *mediastore.S3Options) {
			o.Bucket, o.AccessKey, o.SecretKey, o.Region, o.CustomDomain = bucket, "", "", "us-east-1", m.Addr+"/"+bucket
		})
	}
	var fetched atomic.Int32
	var broken atomic.Bool
	life := time.Hour
	give := func(*http.Request) *http.Response {
		fetched.Add(1)
		if broken.Load() {
			return answer(http.StatusInternalServerError, "")
		}
		return answer(http.StatusOK, fmt.Sprintf(`{"AccessKeyId":%q,"SecretAccessKey":%q,"Expiration":%q}`, storagetest.MinIOUser, storagetest.MinIOPassword, time.Now().Add(life).Format(time.RFC3339)))
	}
	put := func(s *mediastore.S3) error { return s.Put(t.Context(), "t_a", "a", strings.NewReader("x")) }
	s := role()
	mediastore.KeysFrom(s, give)
	now := time.Now()
	if u := s.Presign("t_a", "a", media.Options{}, now, now.Add(time.Minute)); u != "" {
		t.Errorf("a URL without keys: %s", u)
	}
	for range 3 {
		if err := put(s); err != nil {
			t.Error(err)
		}
	}
	if u := s.Presign("t_a", "a", media.Options{}, now, now.Add(time.Minute)); u == "" || fetched.Load() != 1 {
		t.Errorf("%q after %d fetches", u, fetched.Load())
	}

	life = 2 * time.Minute // the old ones are good for that long
	s = role()
	mediastore.KeysFrom(s, give)
	if err := put(s); err != nil {
		t.Error(err)
	}
	broken.Store(true)
	if err := put(s); err != nil {
		t.Errorf("with keys that are good still: %v", err)
	}
	s = role()
	mediastore.KeysFrom(s, give)
	before := fetched.Load()
	for range 100 {
		if err := put(s); !errors.Is(err, core.ErrUnavailable) || !strings.Contains(err.Error(), "set access_key and secret_key") {
			t.Errorf("without keys: %v", err)
		}
	}
	if n := fetched.Load() - before; n > 5 {
		t.Errorf("they were asked for %d times", n)
	}
}

// A web identity, as Kubernetes gives it, is traded for keys; those of the environment come before it, and
// those of a profile before both.
func TestKeysElsewhere(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a.web.identity"), 0o600); err != nil {
		t.Fatal(err)
	}
	profiles := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(profiles, []byte("[other]\naws_access_key_id = NO\naws_secret_access_key = no\n[postern]\naws_access_key_id = PROFILE\naws_secret_access_key = secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token)
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/postern")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", profiles)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	signs := func(o mediastore.S3Options) string {
		t.Helper()
		o.Bucket, o.Region, o.Cache = "pictures", "eu-west-1", t.TempDir()
		s, err := mediastore.NewS3(o)
		if err != nil {
			t.Fatal(err)
		}
		by := ""
		mediastore.Answer(s, func(r *http.Request) *http.Response {
			by, _, _ = strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="), "/")
			by += " " + r.Header.Get("X-Amz-Security-Token")
			return answer(http.StatusOK, "x")
		})
		mediastore.KeysFrom(s, func(r *http.Request) *http.Response {
			b, err := io.ReadAll(r.Body)
			if asked := string(b) + r.URL.RawQuery; err != nil || r.URL.Host != "sts.amazonaws.com" && !strings.HasPrefix(r.URL.Host, "sts.") || !strings.Contains(asked, "a.web.identity") {
				t.Errorf("%s %s, %v", r.URL, asked, err)
			}
			return answer(http.StatusOK, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken><Expiration>`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`)
		})
		f, err := s.Open(t.Context(), "t_a", "a")
		if err != nil {
			t.Error(err)
			return ""
		}
		_ = f.Close()
		return by
	}
	if by := signs(mediastore.S3Options{}); by != "ROLE token" {
		t.Errorf("a web identity: %q", by)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "ENVIRONMENT")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for want, o := range map[string]mediastore.S3Options{
		"ENVIRONMENT ": {}, "PROFILE ": {Profile: "postern"}, "OWN token": {Profile: "postern", AccessKey: "OWN", SecretKey: "secret", SessionToken: "token"},
	} {
		if by := signs(o); by != want {
			t.Errorf("%q, want %q", by, want)
		}
	}
}
