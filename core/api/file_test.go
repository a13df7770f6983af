package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
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
	if a := e.sendForm(e.root, "admin/file/", "x.gif", "GIF89a\x01\x00\x01\x00"+strings.Repeat("x", media.MaxUpload)); a.status != 400 || !strings.Contains(string(a.body), "larger than 25 MB") {
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

func (s *kept) List(_ context.Context, _ core.TenantID, each func(media.Info) error) error {
	for n := range s.files {
		if err := each(media.Info{Name: fmt.Sprint(n), Size: s.size}); err != nil {
			return err
		}
	}
	return nil
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

// An icon goes when another takes its place, and stays where something else shows it, or somebody else brought it.
func TestIconsDoNotPileUp(t *testing.T) {
	e := open(t)
	for _, slug := range []string{"app", "other"} {
		e.want(201, "POST", "core/applications/", map[string]any{"name": slug, "slug": slug})
	}
	set := func(fields ...string) string {
		t.Helper()
		if a := e.sendForm(e.root, "core/applications/app/set_icon/", "x.png", png, fields...); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return e.want(200, "GET", "core/applications/app/", nil)["meta_icon"].(string)
	}
	set()
	first := set()
	if got := e.stored(e.tenant.ID); len(got) != 1 || got[0] != first {
		t.Errorf("stored are %v, not %s alone", got, first)
	}
	e.want(200, "PATCH", "core/applications/other/", map[string]any{"meta_icon": first})
	second := set()
	brand := e.want(200, "GET", "core/brands/?default=true", nil)["results"].([]any)[0].(map[string]any)["brand_uuid"].(string)
	e.want(200, "PATCH", "core/brands/"+brand+"/", map[string]any{"branding_logo": second})
	third := set()
	if got := e.stored(e.tenant.ID); len(got) != 3 {
		t.Errorf("shown elsewhere, and gone: %v of %s, %s, %s", got, first, second, third)
	}
	if a := e.sendForm(e.root, "admin/file/", "own.png", png); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	e.want(200, "PATCH", "core/applications/app/", map[string]any{"meta_icon": "own.png"})
	set()
	set("clear", "true")
	if got := strings.Join(e.stored(e.tenant.ID), " "); !strings.Contains(got, "own.png") || strings.Count(got, " ") != 3 {
		t.Errorf("stored are %s", got) // own.png, and the first three
	}
}

func TestApplicationIcon(t *testing.T) {
	e := open(t)
	e.want(201, "POST", "core/applications/", map[string]any{"name": "App", "slug": "app"})
	const path = "core/applications/app/"
	if a := e.sendForm(e.root, path+"set_icon/", "../../Evil ☠.PNG", png); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	app := e.want(200, "GET", path, nil)
	name := app["meta_icon"].(string)
	if !strings.HasPrefix(name, "application-icons/app_") || !strings.HasSuffix(name, ".png") || len(name) != len("application-icons/app_.png")+22 {
		t.Errorf("it is kept as %s", name)
	}
	u, err := url.Parse(app["meta_icon_url"].(string))
	e.must(err)
	if _, _, err := e.api.Signer.Verify(e.tenant, name, u.Query().Get("token")); err != nil || !strings.HasPrefix(u.String(), origin+"/files/media/public/"+name+"?") {
		t.Errorf("it is at %s: %v", u, err)
	}
	// Terraform gives back what it read.
	if got := e.want(200, "PATCH", path, map[string]any{"meta_icon": name}); got["meta_icon"] != name {
		t.Errorf("it becomes %v", got["meta_icon"])
	}
	if a := e.sendForm(e.root, path+"set_icon/", "x.png", "<html>"); a.status != 400 || !strings.Contains(string(a.body), `"file"`) {
		t.Errorf("no picture: %d %s", a.status, a.body)
	}
	if a := e.sendForm(e.root, path+"set_icon/", "x", png); a.status != 400 || !strings.Contains(string(a.body), "ends in .png") {
		t.Errorf("no picture's name: %d %s", a.status, a.body)
	}
	if a := e.sendForm(e.root, path+"set_icon/", "", ""); a.status != 400 || !strings.Contains(string(a.body), "was not a file") {
		t.Errorf("nothing: %d %s", a.status, a.body)
	}
	if got := e.want(200, "GET", path, nil)["meta_icon"]; got != name {
		t.Errorf("a refusal changed it to %v", got)
	}
	e.want(200, "POST", path+"set_icon_url/", map[string]any{"url": "https://cdn.test/x.png"})
	if got := e.want(200, "GET", path, nil); got["meta_icon_url"] != "https://cdn.test/x.png" {
		t.Errorf("by URL: %v", got["meta_icon_url"])
	}
	if a := e.sendForm(e.root, path+"set_icon/", "", "", "clear", "true"); a.status != 200 {
		t.Errorf("clear: %d %s", a.status, a.body)
	}
	if got := e.want(200, "GET", path, nil); got["meta_icon"] != "" || got["meta_icon_url"] != nil {
		t.Errorf("cleared: %v %v", got["meta_icon"], got["meta_icon_url"])
	}
	if a := e.sendForm(e.root, "core/applications/nothing/set_icon/", "x.png", png); a.status != 404 {
		t.Errorf("no such application: %d %s", a.status, a.body)
	}
	if got := e.stored(e.tenant.ID); len(got) != 1 {
		t.Errorf("stored are %v", got)
	}
}

// who has a right on one application sets its icon, and no other's; what was sent for another
// is not kept.
func TestApplicationIconRights(t *testing.T) {
	e := open(t)
	mine := e.want(201, "POST", "core/applications/", map[string]any{"name": "Mine", "slug": "mine"})["pk"].(string)
	e.want(201, "POST", "core/applications/", map[string]any{"name": "Other", "slug": "other"})
	r := &core.Role{Name: "icons"}
	e.must(e.db.CreateRole(t.Context(), e.tenant.ID, r))
	_, err := e.db.UpdateRole(t.Context(), e.tenant.ID, r.ID, func(r *core.Role) error {
		r.Permissions = []core.RolePermission{{Permission: "authentik_core.change_application", Object: mine}}
		return nil
	})
	e.must(err)
	_, token := e.person("designer", e.groupWith("designers", r))
	if a := e.sendForm(token, "core/applications/mine/set_icon/", "x.png", png); a.status != 200 {
		t.Errorf("their own: %d %s", a.status, a.body)
	}
	if a := e.sendForm(token, "core/applications/other/set_icon/", "x.png", png); a.status != 404 && a.status != 403 {
		t.Errorf("another: %d %s", a.status, a.body)
	}
	if a := e.sendForm(token, "admin/file/", "x.png", png); a.status != 403 {
		t.Errorf("a file: %d %s", a.status, a.body)
	}
	if got := e.stored(e.tenant.ID); len(got) != 1 {
		t.Errorf("stored are %v", got)
	}
}

// Who may change an application, and not see media files, names none: it would be shown to them. What is there already
// stays, and the control has the right.
func TestNamingAFileNeedsTheRightToSeeIt(t *testing.T) {
	e := open(t)
	e.want(201, "POST", "core/applications/", map[string]any{"name": "App", "slug": "app", "meta_icon": "mine.png"})
	brand := "core/brands/" + e.want(200, "GET", "core/brands/?default=true", nil)["results"].([]any)[0].(map[string]any)["brand_uuid"].(string) + "/"
	r := &core.Role{Name: "designers"}
	e.must(e.db.CreateRole(t.Context(), e.tenant.ID, r))
	_, token := e.person("designer", e.groupWith("designers", r))
	rights := []core.RolePermission{{Permission: "authentik_core.change_application"}, {Permission: "authentik_core.add_application"}, {Permission: "authentik_brands.change_brand"}}
	grant := func(more ...core.RolePermission) {
		_, err := e.db.UpdateRole(t.Context(), e.tenant.ID, r.ID, func(r *core.Role) error {
			r.Permissions = append(rights, more...)
			return nil
		})
		e.must(err)
	}
	tries := []struct {
		method, path, field string
		rest                map[string]any
		done                int
	}{
		{"PATCH", "core/applications/app/", "meta_icon", nil, 200},
		{"POST", "core/applications/", "meta_icon", map[string]any{"name": "New", "slug": "new"}, 201},
		{"POST", "core/applications/app/set_icon_url/", "url", nil, 200},
		{"PATCH", brand, "branding_logo", nil, 200},
		{"PATCH", brand, "branding_favicon", nil, 200},
		{"PATCH", brand, "branding_default_flow_background", nil, 200},
	}
	ask := func(n int, picture string) answer {
		body := map[string]any{tries[n].field: picture}
		maps.Copy(body, tries[n].rest)
		return e.send(token, tries[n].method, tries[n].path, body)
	}
	grant()
	if a := ask(0, "mine.png"); a.status != 200 {
		t.Errorf("what is there already: %d %s", a.status, a.body)
	}
	for n, c := range tries {
		if a := ask(n, "board/minutes.png"); a.status != 400 || !strings.Contains(string(a.body), `{"`+c.field+`":["To name a media file needs the right authentik_rbac.view_media_files."]}`) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.field, a.status, a.body)
		}
	}
	if a := ask(2, "https://cdn.test/x.png"); a.status != 200 {
		t.Errorf("a URL: %d %s", a.status, a.body)
	}
	grant(core.RolePermission{Permission: "authentik_rbac.view_media_files"})
	for n, c := range tries {
		if a := ask(n, "board/minutes.png"); a.status != c.done {
			t.Errorf("control: %s %s %s: %d %s", c.method, c.path, c.field, a.status, a.body)
		}
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
	if a := e.send(tenantsKey, "POST", "tenants/tenants/", map[string]any{"schema_name": "t_new", "name": "New"}); a.status != http.StatusServiceUnavailable {
		t.Errorf("nobody knows whether there are files: %d %s", a.status, a.body)
	}
}
