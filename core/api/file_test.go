package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

// png is a picture of one pixel.
const png = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89" +
	"\x00\x00\x00\x00IEND\xaeB`\x82"

// sendForm sends a file (name "": none), and names with their values.
func (e *env) sendForm(token, path, name, content string, fields ...string) answer {
	e.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if name != "" {
		part, err := form.CreateFormFile("file", name)
		e.must(err)
		_, err = io.WriteString(part, content)
		e.must(err)
	}
	for i := 0; i < len(fields); i += 2 {
		e.must(form.WriteField(fields[i], fields[i+1])) // after the file
	}
	e.must(form.Close())
	r := e.request("POST", path, body.String())
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Authorization", "Bearer "+token)
	return e.serve(r)
}

// stored lists the names of a tenant's files.
func (e *env) stored(t core.TenantID) []string {
	e.Helper()
	out := []string{}
	e.must(e.files.List(e.Context(), t, func(i media.Info) error { out = append(out, i.Name); return nil }))
	return out
}

func (e *env) listed(query string) []map[string]any {
	e.Helper()
	var out []map[string]any
	a := e.send(e.root, "GET", "admin/file/"+query, nil)
	if a.status != 200 || json.Unmarshal(a.body, &out) != nil {
		e.Fatalf("%d %s", a.status, a.body)
	}
	return out
}

func TestFiles(t *testing.T) {
	e := open(t)
	if got := e.want(200, "GET", "root/config/", nil)["capabilities"]; fmt.Sprint(got) != "[can_save_media]" {
		t.Errorf("capabilities: %v", got)
	}
	if got := e.listed(""); len(got) != 0 {
		t.Errorf("an empty server lists %v", got)
	}
	for name, fields := range map[string][]string{"sent.png": nil, "x.png": {"name", "brand/logo.png"}, "y.png": {"name", " ", "usage", "media"}} {
		if a := e.sendForm(e.root, "admin/file/", name, png, fields...); a.status != 200 || len(a.body) > 0 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	rows := e.listed("?manageable_only=true&usage=media")
	names := ""
	for _, row := range rows {
		names += row["name"].(string) + " "
		u, err := url.Parse(row["url"].(string))
		e.must(err)
		if _, _, err := e.api.Signer.Verify(e.tenant, row["name"].(string), u.Query().Get("token")); err != nil || u.Scheme+"://"+u.Host != origin || row["mime_type"] != "image/png" {
			t.Errorf("%v: %v", row, err)
		}
	}
	if names != "brand/logo.png sent.png y.png " {
		t.Errorf("listed %s", names)
	}
	if got := e.listed("?search=LOGO"); len(got) != 1 || got[0]["name"] != "brand/logo.png" {
		t.Errorf("a search finds %v", got)
	}
	if got := e.listed("?usage=reports"); len(got) != 0 {
		t.Errorf("reports are %v", got)
	}
	e.refused("GET", "admin/file/?usage=other", nil, "usage", "is not one of: media, reports")
	if e.events.list[0].Action != core.EventModelCreated || !strings.HasPrefix(e.events.list[0].Message, "File ") {
		t.Errorf("the audit log has %+v", e.events.list)
	}
	e.refused("DELETE", "admin/file/", nil, "name", "may not be blank")
	e.refused("DELETE", "admin/file/?name=../x", nil, "name", "cannot start with a period")
	e.refused("DELETE", "admin/file/?name=nothing.png", nil, "name", "no file with this name")
	e.refused("DELETE", "admin/file/?name=sent.png&usage=reports", nil, "usage", "no files of this kind")
	if a := e.send(e.root, "DELETE", "admin/file/?name=sent.png", nil); a.status != 200 {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
	if last := e.events.list[len(e.events.list)-1]; last.Action != core.EventModelDeleted || last.Message != "File sent.png" {
		t.Errorf("the audit log has %+v", last)
	}
	if got := e.stored(e.tenant.ID); len(got) != 2 {
		t.Errorf("left are %v", got)
	}
}

// M-12: what is no picture, or too large, or has a name that leads elsewhere, is refused by a message
// under its field, and leaves nothing. The control is a picture with the same form.
func TestM12Uploads(t *testing.T) {
	e := open(t)
	e.lenient = true
	for _, c := range []struct{ file, content, name, field, want string }{
		{"x.html", "<html>", "", "file", "ends in .png"},
		{"x.png", "<html><script>alert(1)</script>", "", "file", "not what its name says"},
		{"x.png", png, "x.jpg", "file", "not what its name says"},
		{"x.png", png[:16] + "\x7f\xff\xff\xff" + png[20:], "", "file", "pixels"},
		{"x.png", png, "../x.png", "name", "cannot start with a period"},
		{"x.png", png, "/etc/x.png", "name", "cannot begin"},
		{"x.png", png, "a/../x.png", "name", "cannot contain .."},
		{"x.png", png, "a//x.png", "name", "duplicate /"},
		{"x.png", png, "ä.png", "name", "can only contain"},
		{"x.png", png, "😀.png", "name", "can only contain"},
		{"x.png", png, "x.png\x00.png", "name", "Null characters"},
		{"x.png", png, strings.Repeat("x", 300) + ".png", "name", "255 characters"},
		{"x.png", png, strings.Repeat("x/", 600) + ".png", "name", "1024 characters"},
		{"x.png", png, ".htaccess", "name", "cannot start with a period"},
		{"..png", png, "", "name", "cannot start with a period"},
		{"", "", "x.png", "file", "required"},
		{"x.png", "", "", "file", "not what its name says"},
	} {
		var fields []string
		if c.name != "" {
			fields = []string{"name", c.name}
		}
		a := e.sendForm(e.root, "admin/file/", c.file, c.content, fields...)
		var errs map[string][]string
		if a.status != 400 || json.Unmarshal(a.body, &errs) != nil || !strings.Contains(strings.Join(errs[c.field], " "), c.want) {
			t.Errorf("%s as %.40q: %d %s, want %s: %s", c.file, c.name, a.status, a.body, c.field, c.want)
		}
	}
	if a := e.sendForm(e.root, "admin/file/", "x.gif", "GIF89a\x01\x00\x01\x00\x00\x00\x00!\xff\x0bICCRGBG1012"+strings.Repeat("x", media.MaxUpload)); a.status != 400 || !strings.Contains(string(a.body), "larger than 25 MB") {
		t.Errorf("a file that is too large: %d %.200s", a.status, a.body)
	}
	if a := e.sendForm(e.root, "admin/file/", "x.gif", "GIF89a\x01\x00\x01\x00"+strings.Repeat("x", media.MaxUpload+2<<20)); a.status != 413 || !strings.Contains(string(a.body), "larger than 25 MB") {
		t.Errorf("a form that is too large: %d %.200s", a.status, a.body)
	}
	if a := e.send(e.root, "POST", "admin/file/", map[string]any{"file": "x"}); a.status != 415 {
		t.Errorf("JSON: %d %s", a.status, a.body)
	}
	r := e.request("POST", "admin/file/", "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.png\"\r\n\r\nabc")
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	r.Header.Set("Authorization", "Bearer "+e.root)
	if a := e.serve(r); a.status != 400 || !strings.Contains(string(a.body), "broke off") {
		t.Errorf("a form that breaks off: %d %s", a.status, a.body)
	}
	if a := e.sendForm(e.root, "admin/file/", "", "", "file", "text"); a.status != 400 {
		t.Errorf("a text in the file's place: %d %s", a.status, a.body)
	}
	if got := e.stored(e.tenant.ID); len(got) > 0 {
		t.Errorf("stored are %v", got)
	}
	if a := e.sendForm(e.root, "admin/file/", "x.png", png); a.status != 200 {
		t.Errorf("control: %d %s", a.status, a.body)
	}
	a := e.sendForm(e.root, "admin/file/", "x.png", png)
	if a.status != 400 || !strings.Contains(string(a.body), `"name":["A file with this name already exists."]`) {
		t.Errorf("the name is taken: %d %s", a.status, a.body)
	}
}

// away is a store that nobody can reach, and that nobody should ask.
type away struct {
	media.Store
	asked int
}

func (s *away) fail() error {
	s.asked++
	return fmt.Errorf("the bucket: %w: no route to host", core.ErrUnavailable)
}
func (s *away) Open(context.Context, core.TenantID, string) (*media.File, error) {
	return nil, s.fail()
}
func (s *away) Put(context.Context, core.TenantID, string, io.Reader) error       { return s.fail() }
func (s *away) Delete(context.Context, core.TenantID, string) error               { return s.fail() }
func (s *away) DeleteAll(context.Context, core.TenantID) error                    { return s.fail() }
func (s *away) List(context.Context, core.TenantID, func(media.Info) error) error { return s.fail() }

// L-11: lists of applications and brands ask no store for their pictures; what has to, answers 503.
func TestFilesAway(t *testing.T) {
	e := open(t)
	for i := range 200 {
		e.must(e.db.CreateApplication(t.Context(), e.tenant.ID, &core.Application{Name: fmt.Sprint("App ", i), Slug: fmt.Sprint("app-", i), PolicyMode: "any", Icon: fmt.Sprintf("application-icons/%d.png", i)}))
	}
	store := &away{}
	e.api.Files, e.api.Signer.Store = store, store
	page := e.want(200, "GET", "core/applications/?superuser_full_list=true&page_size=200", nil)["results"].([]any)
	for _, row := range page {
		if at, _ := row.(map[string]any)["meta_icon_url"].(string); !strings.HasPrefix(at, origin+"/files/media/public/application-icons/") {
			t.Fatalf("an icon is at %q", at)
		}
	}
	if len(page) != 200 || store.asked > 0 {
		t.Errorf("%d applications, and the store was asked %d times", len(page), store.asked)
	}
	for what, a := range map[string]answer{
		"list":   e.send(e.root, "GET", "admin/file/", nil),
		"upload": e.sendForm(e.root, "admin/file/", "x.png", png),
		"delete": e.send(e.root, "DELETE", "admin/file/?name=x.png", nil),
		"icon":   e.sendForm(e.root, "core/applications/app-1/set_icon/", "x.png", png),
	} {
		if a.status != 503 || a.header.Get("Retry-After") == "" || strings.Contains(string(a.body), "route") {
			t.Errorf("%s: %d %v %s", what, a.status, a.header, a.body)
		}
	}
	e.api.Files, e.api.Signer = nil, nil
	if a := e.sendForm(e.root, "admin/file/", "x.png", png); a.status != 400 || !strings.Contains(string(a.body), "cannot be kept") {
		t.Errorf("without a store: %d %s", a.status, a.body)
	}
	if got := e.want(200, "GET", "core/applications/app-1/", nil)["meta_icon_url"]; got != nil {
		t.Errorf("without a store an icon is at %v", got)
	}
}

// A brand's pictures may be files.
func TestBrandPictures(t *testing.T) {
	e := open(t)
	brand := e.want(200, "GET", "core/brands/?default=true", nil)["results"].([]any)[0].(map[string]any)["brand_uuid"].(string)
	e.want(200, "PATCH", "core/brands/"+brand+"/", map[string]any{"branding_logo": "brand/logo.png", "branding_favicon": "/static/dist/assets/icons/icon.png"})
	got := e.want(200, "GET", "core/brands/current/", nil)
	if at := fmt.Sprint(got["branding_logo"]); !strings.HasPrefix(at, "/files/media/public/brand/logo.png?token=") {
		t.Errorf("the logo is at %s", at)
	}
	if got["branding_favicon"] != "/-/static/favicon.svg" {
		t.Errorf("the favicon is at %v", got["branding_favicon"])
	}
}

// a tenant's files go with it, and one of its name begins without. The control looks before.
func TestX04Files(t *testing.T) {
	e := open(t)
	made := e.want(201, "POST", "tenants/tenants/", map[string]any{"schema_name": "t_acme", "name": "Acme"})
	const name = "a.png"
	put := func() { e.must(e.files.Put(t.Context(), "t_acme", name, strings.NewReader(png))) }
	put()
	first := &core.Tenant{ID: "t_acme", UUID: made["tenant_uuid"].(string)}
	old := e.api.Signer.URL(first, name, media.Options{})
	if got := e.stored("t_acme"); len(got) != 1 {
		t.Fatalf("control: %v", got)
	}
	e.want(204, "DELETE", "tenants/tenants/"+first.UUID+"/", nil)
	if got := e.stored("t_acme"); len(got) != 0 {
		t.Errorf("left are %v", got)
	}
	put() // as an upload that was under way elsewhere would
	e.refused("POST", "tenants/tenants/", map[string]any{"schema_name": "t_acme", "name": "Acme"}, "schema_name", "media files of that name")
	e.must(e.files.DeleteAll(t.Context(), "t_acme"))
	again := e.want(201, "POST", "tenants/tenants/", map[string]any{"schema_name": "t_acme", "name": "Acme"})
	put()
	u, err := url.Parse(old)
	e.must(err)
	second := &core.Tenant{ID: "t_acme", UUID: again["tenant_uuid"].(string)}
	if _, _, err := e.api.Signer.Verify(second, name, u.Query().Get("token")); !errors.Is(err, core.ErrDenied) {
		t.Errorf("a URL from before opens the new tenant's file: %v", err)
	}
	store := &away{}
	e.api.Files = store
	if a := e.send(tenantsKey, "DELETE", "tenants/tenants/"+second.UUID+"/", nil); a.status != http.StatusServiceUnavailable || !strings.Contains(e.log.String(), "the tenant t_acme is deleted, and its media files are not") {
		t.Errorf("with the store away: %d %s", a.status, a.body)
	}
	if a := e.send(tenantsKey, "POST", "tenants/tenants/", map[string]any{"schema_name": "t_new", "name": "New"}); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(string(a.body), `{"detail":"schema_name: Nobody can see whether there are media files of that name, as their store does not answer.`) || strings.Contains(string(a.body), "route") || !strings.Contains(e.log.String(), "no route to host") {
		t.Errorf("nobody knows whether there are files: %d %s", a.status, a.body)
	}
}
