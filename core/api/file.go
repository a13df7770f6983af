package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

const (
	viewMedia = "authentik_rbac.view_media_files"
	// usageMedia are the files that pages show, the only kind that there is. authentik has others.
	usageMedia = "media"
	// maxFiles is how many a list has at most.
	maxFiles = 5000
	// maxKept is how much a tenant keeps, in bytes, in maxFiles files at most.
	maxKept = 1 << 30
)

func fileRoutes() []route {
	const path, manage = "admin/file/", "authentik_rbac.manage_media_files"
	usage := parameter{name: "usage", kind: byText, preset: usageMedia, choices: []string{usageMedia, "reports"}, text: "What files are for; those of reports are none."}
	list := about("List files, at most 5000").by(usage,
		parameter{name: "search", kind: byText, text: "What names have in them."},
		flag("manageable_only", false, "Only those that can be deleted, which are all."),
	).gives(listShape(fileShape()))
	list.name = "admin_file_list"
	drop := about("Delete a file").by(parameter{name: "name", kind: byText, text: "Required."}, usage)
	drop.status = http.StatusOK
	up := about("Upload a picture").uploads("FileUploadRequest", new(upload).read)
	up.status = http.StatusOK
	icon := about("Upload an application's icon").uploads("ApplicationIconRequest", new(iconUpload).read).gives(dictShape()).ofObjects()
	icon.ready = func(c *call) error {
		_, err := applications().one(c)
		return err
	}
	return []route{
		{http.MethodGet, path, viewMedia, listFiles, list},
		{http.MethodPost, path, manage, uploadFile, up},
		{http.MethodDelete, path, manage, deleteFile, drop},
		{http.MethodPost, "core/applications/{slug}/set_icon/", "authentik_core.change_application", setIcon, icon},
	}
}

func fileShape() shape {
	return objectShape("FileList", always("name", textShape()), always("mime_type", textShape()), always("url", textShape()), always("themed_urls", themedURLsShape().orNull()))
}

// files is where they are kept, or a refusal where there is no such place.
func (c *call) files() (media.Store, error) {
	if c.Files == nil || c.Signer == nil {
		return nil, &problem{http.StatusBadRequest, "Files cannot be kept on this server."}
	}
	return c.Files, nil
}

// icon is where a picture is fetched: null for none. It asks nobody.
func (c *call) icon(picture string) any {
	picture, _ = media.Themed(picture, media.Light)
	if media.CheckName(picture) == nil {
		at := c.Signer.Resolve(c.info.Tenant, picture)
		if strings.HasPrefix(at, "/") {
			at = c.info.Origin() + at
		}
		return orNull(at)
	}
	if isWebURL(picture) || strings.HasPrefix(picture, "fa://") || strings.HasPrefix(picture, "/") {
		return picture
	}
	return nil
}

// themed is where each variant of a picture is fetched: null for one without variants.
func (c *call) themed(picture string) any {
	light, has := media.Themed(picture, media.Light)
	if !has || c.icon(light) == nil {
		return nil
	}
	dark, _ := media.Themed(picture, media.Dark)
	return object{media.Light: c.icon(light), media.Dark: c.icon(dark)}
}

func listFiles(c *call) (reply, error) {
	store, err := c.files()
	if err != nil {
		return reply{}, err
	}
	names := []string{}
	if c.param("usage") == usageMedia {
		search, enough := strings.ToLower(c.param("search")), errors.New("enough")
		err = store.List(c.ctx(), c.t, func(i media.Info) error {
			if !strings.Contains(strings.ToLower(i.Name), search) {
				return nil
			}
			if names = append(names, i.Name); len(names) == maxFiles {
				return enough
			}
			return nil
		})
		if err != nil && !errors.Is(err, enough) {
			return reply{}, err
		}
	}
	slices.Sort(names)
	out := make([]any, len(names))
	for i, name := range names {
		out[i] = object{"name": name, "mime_type": media.NamedType(name), "url": c.icon(name), "themed_urls": nil}
	}
	return ok(out)
}

// upload is what admin/file/ is told.
type upload struct{ file, name, usage string }

func (u *upload) read(f *fields) {
	text(f, fileField, rule{required: true, about: "A PNG, JPEG, GIF, WebP, SVG or ICO of at most 25 MB."}, &u.file)
	text(f, "name", rule{blank: true, max: media.MaxName, about: "What it is to be called; without it, as it was sent."}, &u.name)
	u.usage = usageMedia
	choice(f, "usage", &u.usage, usageMedia)
	if u.name == "" {
		u.name = u.file
	}
}

func uploadFile(c *call) (reply, error) {
	store, err := c.files()
	if err != nil {
		return reply{}, err
	}
	var u upload
	u.read(c.body)
	c.needUpload()
	if err := c.body.err(); err != nil {
		return reply{}, err
	}
	if err := media.CheckName(u.name); err != nil {
		return reply{}, err
	}
	if isKeptIcon(u.name) { // it would go as soon as nothing shows it
		return reply{}, invalid{"name": {"Names of this form are those of icons that set_icon/ keeps: choose another one."}}
	}
	switch there, err := store.Open(c.ctx(), c.t, u.name); {
	case err == nil:
		return reply{}, errors.Join(invalid{"name": {"A file with this name already exists."}}, there.Close())
	case !errors.Is(err, core.ErrNotFound):
		return reply{}, err
	}
	if err := c.keep(store, u.name); err != nil {
		return reply{}, err
	}
	c.record(core.EventModelCreated, "authentik_admin_files", "File", u.name, u.name)
	return reply{status: http.StatusOK}, nil
}

// needUpload refuses a form whose file is a text.
func (c *call) needUpload() {
	if c.upload == nil && len(c.body.errs[fileField]) == 0 {
		c.body.fail(fileField, "The submitted data was not a file.")
	}
}

// room refuses a file where the tenant has as many as it may, or as large ones. Uploads at the same moment may be over
// by what each of them brings. The default tenant is the operator's own.
func room(ctx context.Context, store media.Store, t core.TenantID, size int64) error {
	if t == core.DefaultTenant {
		return nil
	}
	files := 1
	return store.List(ctx, t, func(i media.Info) error {
		if files, size = files+1, size+i.Size; files > maxFiles || size > maxKept {
			return invalid{fileField: {fmt.Sprintf("A tenant keeps at most %d files, of %d MiB in all: delete some first.", maxFiles, maxKept>>20)}}
		}
		return nil
	})
}

// keep puts the file that was sent under a name.
func (c *call) keep(store media.Store, name string) error {
	if err := room(c.ctx(), store, c.t, c.upload.Size); err != nil {
		return err
	}
	sent, err := c.upload.Open()
	if err != nil {
		return err
	}
	defer sent.Close()
	clean := media.Clean(name, sent)
	defer clean.Close()
	return store.Put(c.ctx(), c.t, name, clean)
}

func deleteFile(c *call) (reply, error) {
	store, err := c.files()
	if err != nil {
		return reply{}, err
	}
	name := c.param("name")
	if err := media.CheckName(name); err != nil {
		return reply{}, err
	}
	if c.param("usage") != usageMedia {
		return reply{}, invalid{"usage": {"There are no files of this kind."}}
	}
	if err := store.Delete(c.ctx(), c.t, name); errors.Is(err, core.ErrNotFound) {
		return reply{}, invalid{"name": {"There is no file with this name."}}
	} else if err != nil {
		return reply{}, err
	}
	c.record(core.EventModelDeleted, "authentik_admin_files", "File", name, name)
	return reply{status: http.StatusOK}, nil
}
