package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/media"
)

// What this server cannot keep meanwhile is not the sender's fault.
func TestUploadWithoutTemporaryDirectory(t *testing.T) {
	e := open(t)
	large := png + strings.Repeat("\x00", 2<<20)
	t.Setenv("TMPDIR", t.TempDir()+"/none")
	a := e.sendForm(e.root, "admin/file/", "x.png", large)
	if a.status != 503 || a.header.Get("Retry-After") == "" || strings.Contains(string(a.body), "none") || !strings.Contains(e.log.String(), "keep a form meanwhile") {
		t.Errorf("%d %v %s, and the log has %s", a.status, a.header, a.body, e.log)
	}
	t.Setenv("TMPDIR", t.TempDir())
	if a := e.sendForm(e.root, "admin/file/", "x.png", large); a.status != 200 {
		t.Errorf("control: %d %s", a.status, a.body)
	}
}

// kept is a store that has so many files already.
type kept struct {
	media.Store
	files int
	size  int64 // of each, in bytes
}

// What a tenant keeps is bounded, in files and in bytes, and so is each field of a form. The controls are one file
// less, the default tenant, and a field that the route does not have, which is left out.
func TestUploadsAreBounded(t *testing.T) {
	e := open(t)
	e.want(201, "POST", "core/applications/", map[string]any{"name": "App", "slug": "app"})
	first := e.tenant.ID
	for i, c := range []struct {
		kept
		tenant core.TenantID
		want   int
	}{
		{kept{files: 4999, size: 1}, "t_acme", 200},
		{kept{files: 5000, size: 1}, "t_acme", 400},
		{kept{files: 1, size: 1<<30 - 100}, "t_acme", 200},
		{kept{files: 1, size: 1 << 30}, "t_acme", 400},
		{kept{files: 5000, size: 1}, first, 200},
	} {
		c.Store = e.files
		err := api.Room(&c.kept, c.tenant, 50)
		if (err == nil) != (c.want == 200) || err != nil && !strings.Contains(fmt.Sprintf("%#v", err), `"file":[]string{"A tenant keeps at most 5000 files, of 1024 MiB in all: delete some first."}`) {
			t.Errorf("%d: %#v, want %d", i, err, c.want)
		}
	}
	e.lenient = true
	if a := e.sendForm(e.root, "admin/file/", "x.png", png, "name", strings.Repeat("x", 64<<10+1)); a.status != 400 || !strings.Contains(string(a.body), `"name":["Ensure this field has no more than 65536 bytes."]`) {
		t.Errorf("a long field: %d %.200s", a.status, a.body)
	}
	if a := e.sendForm(e.root, "admin/file/", "x.png", png, "other", strings.Repeat("x", 1<<20)); a.status != 200 {
		t.Errorf("control: %d %.200s", a.status, a.body)
	}
}

func (s *kept) List(_ context.Context, _ core.TenantID, each func(media.Info) error) error {
	for n := range s.files {
		if err := each(media.Info{Name: fmt.Sprint(n), Size: s.size}); err != nil {
			return err
		}
	}
	return nil
}

// counted is a body that says how much of it was read.
type counted struct {
	io.Reader
	read int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

// M-12: what can be refused without reading a form is: who asks is known, and how much is announced. The control is
// read.
func TestFormsAreRefusedUnread(t *testing.T) {
	e := open(t)
	e.lenient = true
	for _, slug := range []string{"mine", "other"} {
		e.want(201, "POST", "core/applications/", map[string]any{"name": slug, "slug": slug})
	}
	r := &core.Role{Name: "icons"}
	e.must(e.db.CreateRole(t.Context(), e.tenant.ID, r))
	mine := e.want(200, "GET", "core/applications/mine/", nil)["pk"].(string)
	_, err := e.db.UpdateRole(t.Context(), e.tenant.ID, r.ID, func(r *core.Role) error {
		r.Permissions = []core.RolePermission{{Permission: "authentik_core.change_application", Object: mine}}
		return nil
	})
	e.must(err)
	_, designer := e.person("designer", e.groupWith("designers", r))
	other, err := e.db.CreateTenant(t.Context(), "t_b", "B")
	e.must(err)
	b := *e
	b.tenant = other
	admins := &core.Group{Name: "b admins", Superuser: true}
	e.must(e.db.CreateGroup(t.Context(), other.ID, admins, nil))
	_, b.root = b.person("b-root", admins.ID)
	b.want(201, "POST", "core/applications/", map[string]any{"name": "App", "slug": "app"})
	files := e.api.Files
	ask := func(e *env, store media.Store, token, path string, length int64) (answer, int, time.Time) {
		body := &counted{Reader: strings.NewReader("--x--")}
		q := e.request("POST", path, "")
		q.Body, q.ContentLength = io.NopCloser(body), length
		q.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		if token != "" {
			q.Header.Set("Authorization", "Bearer "+token)
		}
		e.api.Files = store
		w := &deadlined{ResponseRecorder: httptest.NewRecorder()}
		e.api.ServeHTTP(w, q)
		return answer{w.Code, w.Header(), w.Body.Bytes()}, body.read, w.until
	}
	const announced = 20 << 20
	full := &kept{files: 1, size: 1<<30 - 10<<20}
	for what, c := range map[string]struct {
		of          *env
		store       media.Store
		token, path string
		length      int64 // as it is announced; -1: not at all
		status      int
		want        string
	}{
		"nobody":                  {e, files, "", "admin/file/", announced, 403, "credentials"},
		"a wrong token":           {e, files, "wrong", "admin/file/", announced, 403, "Token"},
		"no right":                {e, files, designer, "admin/file/", announced, 403, "permission"},
		"another's application":   {e, files, designer, "core/applications/other/set_icon/", announced, 404, "No Application"},
		"no application":          {e, files, e.root, "core/applications/none/set_icon/", announced, 404, "No Application"},
		"too large":               {e, files, e.root, "admin/file/", 27 << 20, 413, "larger than 25 MB"},
		"no store":                {e, nil, e.root, "admin/file/", announced, 400, "cannot be kept"},
		"a store that is away":    {&b, &away{}, b.root, "admin/file/", announced, 503, "cannot be reached"},
		"of unknown length, away": {&b, &away{}, b.root, "core/applications/app/set_icon/", -1, 503, "cannot be reached"},
		"no room":                 {&b, full, b.root, "admin/file/", announced, 400, `"file":["A tenant keeps at most`},
	} {
		if a, read, _ := ask(c.of, c.store, c.token, c.path, c.length); a.status != c.status || !strings.Contains(string(a.body), c.want) || read != 0 {
			t.Errorf("%s: %d %s, and %d bytes were read", what, a.status, a.body, read)
		}
	}
	for what, length := range map[string]int64{"announced": 26 << 20, "not announced": -1, "room enough": 9 << 20} {
		of, store := e, files
		if what == "room enough" {
			of, store = &b, media.Store(full)
		}
		if a, read, until := ask(of, store, of.root, "admin/file/", length); a.status != 400 || read == 0 || time.Until(until) > 10*time.Minute || time.Until(until) < time.Minute {
			t.Errorf("control, %s: %d %s, and %d bytes were read until %s", what, a.status, a.body, read, until)
		}
	}
}

// deadlined notes until when a body may be read.
type deadlined struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (d *deadlined) SetReadDeadline(t time.Time) error {
	d.until = t
	return nil
}

// M-12: however many send forms at once, few are read at a time, and of one tenant half of those, also while nobody
// else is there: whoever comes next would wait for minutes. The controls are those that are.
func TestFormsTakeTurns(t *testing.T) {
	e := open(t)
	e.lenient = true
	forms := e.api.Forms()
	for range 8 {
		e.must(forms.Take(t.Context(), e.tenant.ID))
	}
	done := make(chan answer, 1)
	go func() { done <- e.sendForm(e.root, "admin/file/", "waits.png", png) }()
	until(t, "the ninth waits", func() bool {
		n, _ := forms.Queue(e.tenant.ID)
		return n == 1 || len(done) > 0
	})
	if len(done) > 0 {
		a := <-done
		t.Fatalf("the ninth does not wait: %d %s", a.status, a.body)
	}
	for range 8 {
		e.must(forms.Take(t.Context(), "t_other"))
	}
	forms.Leave(e.tenant.ID)
	if a := <-done; a.status != 200 {
		t.Errorf("its turn came: %d %s", a.status, a.body)
	}
	if got := e.stored(e.tenant.ID); len(got) != 1 {
		t.Errorf("stored are %v", got)
	}
	for range 7 {
		forms.Leave(e.tenant.ID)
	}
	for range 40 { // each gives its place back
		if a := e.sendForm(e.root, "admin/file/", "waits.png", png); a.status != 400 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
}
