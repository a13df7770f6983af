package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/media"
)

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
	if got := strings.Join(e.stored(e.tenant.ID), " "); !strings.Contains(got, "own.png") || strings.Count(got, " ") != 2 {
		t.Errorf("stored are %s", got) // own.png, and the first two
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
	if got := e.stored(e.tenant.ID); len(got) != 0 {
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

// An icon that set_icon/ kept goes with the last that shows it, whichever way it goes. What somebody uploaded by hand, and
// what is shown elsewhere, stays: those are the controls.
func TestIconsGoWithTheLastThatShowsThem(t *testing.T) {
	e := open(t)
	brand := "core/brands/" + e.want(200, "GET", "core/brands/?default=true", nil)["results"].([]any)[0].(map[string]any)["brand_uuid"].(string) + "/"
	second := "core/brands/" + e.want(201, "POST", "core/brands/", map[string]any{"domain": "second.test"})["brand_uuid"].(string) + "/"
	if a := e.sendForm(e.root, "admin/file/", "x.png", png, "name", "application-icons/acme_light-transparent-logo.png"); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	kept := func() string {
		t.Helper()
		e.want(201, "POST", "core/applications/", map[string]any{"name": "App", "slug": "app_x"})
		if a := e.sendForm(e.root, "core/applications/app_x/set_icon/", "x.PNG", png); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return e.want(200, "GET", "core/applications/app_x/", nil)["meta_icon"].(string)
	}
	const app = "core/applications/app_x/"
	for what, change := range map[string]func(icon string){
		"PATCH": func(string) {
			e.want(200, "PATCH", app, map[string]any{"meta_icon": "application-icons/acme_light-transparent-logo.png"})
		},
		"PUT": func(string) {
			e.want(200, "PUT", app, map[string]any{"name": "App", "slug": "renamed", "meta_icon": ""})
			e.want(200, "PATCH", "core/applications/renamed/", map[string]any{"slug": "app_x"})
		},
		"set_icon_url": func(string) {
			e.want(200, "POST", app+"set_icon_url/", map[string]any{"url": "https://cdn.test/x.png"})
		},
		"DELETE": func(string) {},
		"a brand's": func(icon string) {
			e.want(200, "PATCH", brand, map[string]any{"branding_favicon": icon, "branding_logo": icon})
			e.want(200, "PATCH", app, map[string]any{"meta_icon": ""})
			if !strings.Contains(fmt.Sprint(e.stored(e.tenant.ID)), icon) {
				t.Error("it is gone while a brand shows it")
			}
			e.want(200, "PATCH", brand, map[string]any{"branding_favicon": ""})
			if !strings.Contains(fmt.Sprint(e.stored(e.tenant.ID)), icon) {
				t.Error("it is gone while a brand's logo shows it")
			}
			e.want(200, "PATCH", brand, map[string]any{"branding_logo": "/static/dist/assets/icons/icon_left_brand.svg"})
		},
		"a brand that is deleted": func(icon string) {
			e.want(200, "PATCH", second, map[string]any{"branding_default_flow_background": icon})
			e.want(200, "PATCH", app, map[string]any{"meta_icon": ""})
			e.want(204, "DELETE", second, nil)
		},
		"a change of something else": func(icon string) {
			e.want(200, "PATCH", app, map[string]any{"name": "Other"})
			if !strings.Contains(fmt.Sprint(e.stored(e.tenant.ID)), icon) {
				t.Error("it is gone while it is shown")
			}
		},
	} {
		icon := kept()
		if got := e.stored(e.tenant.ID); len(got) != 2 {
			t.Errorf("control: before %s there are %v", what, got)
		}
		change(icon)
		e.want(204, "DELETE", app, nil)
		if got := e.stored(e.tenant.ID); len(got) != 1 || got[0] != "application-icons/acme_light-transparent-logo.png" {
			t.Errorf("after %s there are %v", what, got)
		}
	}
	name := kept()
	e.want(204, "DELETE", app, nil)
	if a := e.sendForm(e.root, "admin/file/", "x.png", png, "name", name); a.status != 400 || !strings.Contains(string(a.body), `"name":["Names of this form`) {
		t.Errorf("by hand as %s: %d %s", name, a.status, a.body)
	}
	for _, other := range []string{name[:len(name)-5] + ".png", "application-icons/x/" + name[len("application-icons/"):], "x/" + name} {
		if a := e.sendForm(e.root, "admin/file/", "x.png", png, "name", other); a.status != 200 {
			t.Errorf("by hand as %s: %d %s", other, a.status, a.body)
		}
	}
}

// between is a store in which something happens before each deletion.
type between struct {
	media.Store
	then func()
}

func (s *between) Delete(ctx context.Context, t core.TenantID, name string) error {
	s.then()
	return s.Store.Delete(ctx, t, name)
}

// Somebody takes an icon up after the look that found nobody who shows it, and before it is deleted: it stays. One that
// nobody takes up is the control.
func TestIconTakenUpMeanwhile(t *testing.T) {
	e := open(t)
	const app, other = "core/applications/app/", "core/applications/other/"
	e.want(201, "POST", "core/applications/", map[string]any{"name": "App", "slug": "app"})
	e.want(201, "POST", "core/applications/", map[string]any{"name": "Other", "slug": "other"})
	for _, taken := range []bool{true, false} {
		if a := e.sendForm(e.root, app+"set_icon/", "x.png", png); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		icon := e.want(200, "GET", app, nil)["meta_icon"].(string)
		happened := 0
		e.api.Files = &between{e.files, func() {
			if happened++; taken && happened == 1 {
				e.want(200, "PATCH", other, map[string]any{"meta_icon": icon})
			}
		}}
		e.want(200, "PATCH", app, map[string]any{"meta_icon": ""})
		e.api.Files = e.files
		if happened != 1 {
			t.Errorf("control: %d deletions", happened)
		}
		file, err := e.files.Open(t.Context(), e.tenant.ID, icon)
		if !taken {
			if !errors.Is(err, core.ErrNotFound) {
				t.Errorf("control: nobody shows it, and it is there: %v", err)
			}
			continue
		}
		e.must(err)
		content, err := io.ReadAll(file)
		e.must(errors.Join(err, file.Close()))
		if string(content) != png {
			t.Errorf("what is shown is %q", content)
		}
		e.want(200, "PATCH", other, map[string]any{"meta_icon": ""}) // and it goes with this one
		if got := e.stored(e.tenant.ID); len(got) != 0 {
			t.Errorf("stored are %v", got)
		}
	}
}

// A picture with %(theme)s has a URL for light pages and one for dark ones; it is shown only to whom its files would be,
// and an icon that it stands for stays.
func TestThemedPictures(t *testing.T) {
	e := open(t)
	e.want(201, "POST", "core/applications/", map[string]any{"name": "App", "slug": "light", "meta_icon": "plain.png"})
	const path = "core/applications/light/"
	if got := e.want(200, "GET", path, nil); got["meta_icon_themed_urls"] != nil {
		t.Errorf("control: %v", got["meta_icon_themed_urls"])
	}
	brand := "core/brands/" + e.want(200, "GET", "core/brands/?default=true", nil)["results"].([]any)[0].(map[string]any)["brand_uuid"].(string) + "/"
	e.want(200, "PATCH", brand, map[string]any{"branding_logo": "brand/%(theme)s.png"})
	current := e.want(200, "GET", "core/brands/current/", nil)
	app := e.want(200, "PATCH", path, map[string]any{"meta_icon": "icons/x-%(theme)s.png"})
	for what, c := range map[string]struct {
		shown, themed any
		prefix        string
	}{
		"application": {app["meta_icon_url"], app["meta_icon_themed_urls"], origin + "/files/media/public/icons/x-"},
		"brand":       {current["branding_logo"], current["branding_logo_themed_urls"], "/files/media/public/brand/"},
	} {
		urls, _ := c.themed.(map[string]any)
		for _, scheme := range []string{"light", "dark"} {
			if at, _ := urls[scheme].(string); !strings.HasPrefix(at, c.prefix+scheme+".png?token=") {
				t.Errorf("%s: for %s pages it is at %q", what, scheme, at)
			}
		}
		if len(urls) != 2 || c.shown != urls["light"] {
			t.Errorf("%s: %v, %v", what, c.shown, urls)
		}
	}
	if got := e.want(200, "PATCH", path, map[string]any{"meta_icon": "https://cdn.test/%(theme)s.png"}); fmt.Sprint(got["meta_icon_themed_urls"]) != "map[dark:https://cdn.test/dark.png light:https://cdn.test/light.png]" || got["meta_icon_url"] != "https://cdn.test/light.png" {
		t.Errorf("of a URL: %v, %v", got["meta_icon_url"], got["meta_icon_themed_urls"])
	}
	if got := e.want(200, "GET", "core/brands/current/", nil); got["branding_favicon_themed_urls"] != nil {
		t.Errorf("control: %v", got)
	}
	e.refused("PATCH", path, map[string]any{"meta_icon": "../%(theme)s.png"}, "meta_icon", "media file")

	r := e.role("designers", "authentik_core.change_application")
	_, designer := e.person("designer", e.groupWith("designers", r))
	if a := e.send(designer, "PATCH", path, map[string]any{"meta_icon": "board/%(theme)s.png"}); a.status != 400 || !strings.Contains(string(a.body), "needs the right authentik_rbac.view_media_files") {
		t.Errorf("another's files: %d %s", a.status, a.body)
	}

	if a := e.sendForm(e.root, path+"set_icon/", "x.png", png); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	kept := e.want(200, "GET", path, nil)["meta_icon"].(string)
	e.want(200, "PATCH", brand, map[string]any{"branding_logo": strings.Replace(kept, "light", "%(theme)s", 1)})
	e.want(200, "PATCH", path, map[string]any{"meta_icon": ""})
	if got := e.stored(e.tenant.ID); len(got) != 1 || got[0] != kept {
		t.Errorf("stored are %v", got)
	}
}

// L-11: a store that is away holds up no change, and what it did not delete is told.
func TestIconsLeftBehind(t *testing.T) {
	e := open(t)
	e.want(201, "POST", "core/applications/", map[string]any{"name": "App", "slug": "app"})
	if a := e.sendForm(e.root, "core/applications/app/set_icon/", "x.png", png); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	icon := e.want(200, "GET", "core/applications/app/", nil)["meta_icon"].(string)
	e.api.Files = &away{}
	e.want(200, "PATCH", "core/applications/app/", map[string]any{"meta_icon": ""})
	if log := e.log.String(); !strings.Contains(log, "left behind") || !strings.Contains(log, icon) {
		t.Errorf("the log has %s", log)
	}
	e.want(204, "DELETE", "core/applications/app/", nil)
}

// One picture of a brand that somebody deleted already keeps none of its others from going with it.
func TestIconsGoBesideOneThatIsGone(t *testing.T) {
	e := open(t)
	brand := e.want(201, "POST", "core/brands/", map[string]any{"domain": "second.test"})["brand_uuid"].(string)
	var icons []string
	for _, field := range []string{"branding_logo", "branding_favicon", "branding_default_flow_background"} {
		e.want(201, "POST", "core/applications/", map[string]any{"name": "App", "slug": "app"})
		if a := e.sendForm(e.root, "core/applications/app/set_icon/", "x.png", png); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		icon := e.want(200, "GET", "core/applications/app/", nil)["meta_icon"].(string)
		e.want(200, "PATCH", "core/brands/"+brand+"/", map[string]any{field: icon})
		e.want(204, "DELETE", "core/applications/app/", nil)
		icons = append(icons, icon)
	}
	if got := e.stored(e.tenant.ID); len(got) != 3 {
		t.Fatalf("control: stored are %v", got)
	}
	e.must(e.files.Delete(t.Context(), e.tenant.ID, icons[0]))
	e.must(e.files.Delete(t.Context(), e.tenant.ID, icons[1]))
	e.want(204, "DELETE", "core/brands/"+brand+"/", nil)
	if got := e.stored(e.tenant.ID); len(got) != 0 {
		t.Errorf("left behind are %v", got)
	}
	if log := e.log.String(); strings.Contains(log, "left behind") {
		t.Errorf("the log has %s", log)
	}
}

// gone is a store of a tenant that is deleted while it is asked.
type gone struct{ api.Store }

func (gone) ListApplications(context.Context, core.TenantID, api.Query) ([]core.Application, int, error) {
	return nil, 0, fmt.Errorf("list applications: %w", core.ErrNotFound)
}

// Where nobody can tell what is shown, nothing is deleted.
func TestIconsStayWhereNobodyCanTell(t *testing.T) {
	e := open(t)
	brand := "core/brands/" + e.want(201, "POST", "core/brands/", map[string]any{"domain": "second.test"})["brand_uuid"].(string) + "/"
	for _, field := range []string{"branding_logo", "branding_favicon"} {
		e.want(201, "POST", "core/applications/", map[string]any{"name": "App", "slug": "app"})
		if a := e.sendForm(e.root, "core/applications/app/set_icon/", "x.png", png); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		e.want(200, "PATCH", brand, map[string]any{field: e.want(200, "GET", "core/applications/app/", nil)["meta_icon"]})
		e.want(204, "DELETE", "core/applications/app/", nil)
	}
	whole := e.api.Store
	e.api.Store = gone{whole}
	e.want(204, "DELETE", brand, nil)
	e.api.Store = whole
	if got := e.stored(e.tenant.ID); len(got) != 2 {
		t.Errorf("there are %v", got)
	}
}
