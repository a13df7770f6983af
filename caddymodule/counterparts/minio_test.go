package counterparts_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/madmin-go/v3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/postern-sso/postern/caddymodule/porttest"
)

const (
	minioUser     = "minio-root"
	minioPassword = "minio-root-password"
)

// minioServer is a real MinIO.
type minioServer struct {
	*process
	address, console string // host:port
	dir              string
}

func startMinIO(t testing.TB, m *minioServer, env ...string) *minioServer {
	t.Helper()
	if m == nil {
		m = &minioServer{address: "127.0.0.1:" + porttest.Free(t), console: "127.0.0.1:" + porttest.Free(t), dir: t.TempDir()}
	}
	env = append([]string{"MINIO_ROOT_USER=" + minioUser, "MINIO_ROOT_PASSWORD=" + minioPassword, "MINIO_CI_CD=1", "MINIO_BROWSER_REDIRECT=off", "HOME=" + t.TempDir()}, env...)
	m.process = run(t, env, counterpart(t, "POSTERN_TEST_MINIO"), "server", "--address", m.address, "--console-address", m.console, m.dir)
	m.answers(t, "http://"+m.address+"/minio/health/ready", http.StatusOK)
	return m
}

// openID is the environment of the guide's deployment.
func openID(a *application) []string {
	return []string{
		"MINIO_IDENTITY_OPENID_CONFIG_URL=" + a.issuer + ".well-known/openid-configuration",
		"MINIO_IDENTITY_OPENID_CLIENT_ID=" + a.clientID,
		"MINIO_IDENTITY_OPENID_CLIENT_SECRET=" + a.secret,
		"MINIO_IDENTITY_OPENID_DISPLAY_NAME=Authentik (timvw.be)",
		"MINIO_IDENTITY_OPENID_REDIRECT_URI=" + a.redirect,
	}
}

// root is a client with all rights.
func (m *minioServer) root(t testing.TB) *minio.Client {
	t.Helper()
	c, err := minio.New(m.address, &minio.Options{Creds: credentials.NewStaticV4(minioUser, minioPassword, "")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mediaUser makes the keys of a node as deploy/compose does, by the calls that mc makes. They open the bucket of
// pictures and no other; the control is that root opens it.
func (m *minioServer) mediaUser(t *testing.T, key, secret string) {
	t.Helper()
	admin, err := madmin.NewWithOptions(m.address, &madmin.Options{Creds: credentials.NewStaticV4(minioUser, minioPassword, "")})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, attached := admin.AttachPolicy(ctx, madmin.PolicyAssociationReq{Policies: []string{"postern"}, User: key})
	if err := admin.AddCannedPolicy(ctx, "postern", []byte(readText(t, deployed+"compose/media-policy.json"))); err != nil || attached == nil {
		t.Fatal(err, attached)
	}
	if err := admin.AddUser(ctx, key, secret); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.AttachPolicy(ctx, madmin.PolicyAssociationReq{Policies: []string{"postern"}, User: key}); err != nil {
		t.Fatal(err)
	}
	if err := m.root(t).MakeBucket(ctx, "others", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	own, err := minio.New(m.address, &minio.Options{Creds: credentials.NewStaticV4(key, secret, "")})
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func(*minio.Client) error{
		"write": func(c *minio.Client) error {
			_, err := c.PutObject(ctx, "others", "x", strings.NewReader("x"), 1, minio.PutObjectOptions{})
			return err
		},
		"make a bucket": func(c *minio.Client) error { return c.MakeBucket(ctx, "more", minio.MakeBucketOptions{}) },
	} {
		if err := try(own); minio.ToErrorResponse(err).Code != "AccessDenied" {
			t.Errorf("%s with the nodes' keys: %v", name, err)
		}
		if err := try(m.root(t)); err != nil {
			t.Errorf("control: %s: %v", name, err)
		}
	}
}

// assume trades an ID token for credentials: AssumeRoleWithWebIdentity.
func (m *minioServer) assume(t *testing.T, idToken string) (*credentials.Credentials, error) {
	t.Helper()
	creds, err := credentials.NewSTSWebIdentity("http://"+m.address, func() (*credentials.WebIdentityToken, error) {
		return &credentials.WebIdentityToken{Token: idToken, Expiry: 3600}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = creds.GetWithContext(&credentials.CredContext{Client: http.DefaultClient, Endpoint: "http://" + m.address})
	return creds, err
}

// rights are what a user of MinIO turned out to be allowed.
type rights struct{ put, get, admin bool }

// try finds out by doing: it writes an object, reads one, and asks for the
// server's state.
func (m *minioServer) try(t *testing.T, creds *credentials.Credentials) rights {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := minio.New(m.address, &minio.Options{Creds: creds})
	if err != nil {
		t.Fatal(err)
	}
	var r rights
	_, err = c.PutObject(ctx, "bucket", "written", strings.NewReader("hello"), 5, minio.PutObjectOptions{})
	r.put = allowed(t, "put", err)
	object, err := c.GetObject(ctx, "bucket", "object", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(object)
	r.get = allowed(t, "get", err)
	if r.get && string(content) != "content" {
		t.Errorf("the object holds %q", content)
	}
	admin, err := madmin.NewWithOptions(m.address, &madmin.Options{Creds: creds})
	if err != nil {
		t.Fatal(err)
	}
	_, err = admin.ServerInfo(ctx)
	r.admin = allowed(t, "admin", err)
	return r
}

// allowed tells a refusal from an answer; anything else ends the test.
func allowed(t *testing.T, what string, err error) bool {
	t.Helper()
	if err == nil {
		return true
	}
	var admin madmin.ErrorResponse
	code := minio.ToErrorResponse(err).Code
	if errors.As(err, &admin) {
		code = admin.Code
	}
	if code != "AccessDenied" {
		t.Fatalf("%s: %q %v", what, code, err)
	}
	return false
}

func (m *minioServer) seed(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	if err := m.root(t).MakeBucket(ctx, "bucket", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.root(t).PutObject(ctx, "bucket", "object", bytes.NewReader([]byte("content")), 7, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
}

// The Terraform guide: every user gets readwrite, MinIO is set up by environment
// and asks for the scopes that discovery lists.
func TestMinIOByEnvironment(t *testing.T) {
	counterpart(t, "POSTERN_TEST_MINIO")
	p := startPostern(t, bootstrapped()...)
	a := p.seedApplication(t, "minio", "http://127.0.0.1:1/oauth_callback", "return {\n  \"policy\": \"readwrite\",\n}\n")
	p.addUser(t, "alice")
	m := startMinIO(t, nil, openID(a)...)
	ran(t, "minio")
	m.seed(t)

	_, token := logIn(t, a, "alice", "profile", "email", "minio")
	creds, err := m.assume(t, token)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.try(t, creds), (rights{put: true, get: true}); got != want {
		t.Errorf("readwrite may %+v, want %+v", got, want)
	}

	for policy, want := range map[string]rights{
		`"readonly"`:                {get: true},
		`"writeonly"`:               {put: true},
		`["readonly", "writeonly"]`: {put: true, get: true},
		`"consoleAdmin"`:            {put: true, get: true, admin: true},
	} {
		p.setExpression(t, a, `return {"policy": `+policy+`}`)
		_, token := logIn(t, a, "alice", "profile", "email", "minio")
		creds, err := m.assume(t, token)
		if err != nil {
			t.Fatalf("%s: %v", policy, err)
		}
		if got := m.try(t, creds); got != want {
			t.Errorf("%s may %+v, want %+v", policy, got, want)
		}
	}
	// The control: a token without the scope has no policy, and MinIO takes
	// nothing for granted.
	_, token = logIn(t, a, "alice", "profile", "email")
	if _, err := m.assume(t, token); err == nil {
		t.Error("a token without the minio scope gave credentials")
	}
}

// The integration page: MinIO is set up by what `mc admin config set` sends,
// and the policies follow from group membership.
func TestMinIOByGroup(t *testing.T) {
	counterpart(t, "POSTERN_TEST_MINIO")
	p := startPostern(t, bootstrapped()...)
	a := p.seedApplication(t, "minio", "http://127.0.0.1:1/oauth_callback", `if ak_is_group_member(request.user, name="Minio admins"):
  return {
    "policy": "consoleAdmin",
}
elif ak_is_group_member(request.user, name="Minio users"):
  return {
    "policy": ["readonly", "my-custom-policy"]
}
return None
`)
	p.addUser(t, "admin-person", p.addGroup(t, "Minio admins"))
	p.addUser(t, "member", p.addGroup(t, "Minio users"))
	p.addUser(t, "stranger")

	m := startMinIO(t, nil)
	ran(t, "minio")
	m.seed(t)
	admin, err := madmin.NewWithOptions(m.address, &madmin.Options{Creds: credentials.NewStaticV4(minioUser, minioPassword, "")})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	err = admin.AddCannedPolicy(ctx, "my-custom-policy", []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject"],"Resource":["arn:aws:s3:::bucket/*"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = admin.SetConfigKV(ctx, `identity_openid config_url="`+a.issuer+`.well-known/openid-configuration" client_id="minio" client_secret="`+a.secret+`" scopes="openid,profile,email,minio"`)
	if err != nil {
		t.Fatal(err)
	}
	m.stop(t)
	startMinIO(t, m)

	for user, want := range map[string]rights{
		"admin-person": {put: true, get: true, admin: true},
		"member":       {put: true, get: true},
	} {
		_, token := logIn(t, a, user, "profile", "email", "minio")
		creds, err := m.assume(t, token)
		if err != nil {
			t.Fatalf("%s: %v", user, err)
		}
		if got := m.try(t, creds); got != want {
			t.Errorf("%s may %+v, want %+v", user, got, want)
		}
	}
	id, token := logIn(t, a, "stranger", "profile", "email", "minio")
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if policy, ok := claims["policy"]; ok {
		t.Errorf("the stranger has the policy %v", policy)
	}
	if _, err := m.assume(t, token); err == nil {
		t.Error("MinIO gave the stranger credentials")
	}
}
