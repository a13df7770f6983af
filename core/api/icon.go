package api

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

// iconFolder is where icons of applications are kept.
const iconFolder = "application-icons/"

// iconStem is what the names of an application's icons begin with; 22 random characters and the end follow.
func iconStem(slug string) string { return iconFolder + cutText(slug, 100) + "_" }

// iconUpload is what set_icon/ is told.
type iconUpload struct {
	file  string
	clear bool
}

func (u *iconUpload) read(f *fields) {
	text(f, fileField, rule{about: "A PNG, JPEG, GIF, WebP, SVG or ICO of at most 25 MB."}, &u.file)
	boolean(f, "clear", &u.clear)
}

// setIcon keeps an icon under a name that nobody can guess or has, and whose end is all of the sender's
// that stays. The one that it kept before goes.
func setIcon(c *call) (reply, error) {
	s := applications()
	store, err := c.files()
	if err != nil {
		return reply{}, err
	}
	var u iconUpload
	u.read(c.body)
	if !u.clear {
		c.needUpload()
	}
	if err := c.body.err(); err != nil {
		return reply{}, err
	}
	old, err := s.one(c)
	if err != nil {
		return reply{}, err
	}
	name, before := "", ""
	if !u.clear {
		name = iconStem(old.Slug) + core.RandomAlphanumeric(22) + strings.ToLower(path.Ext(u.file))
		if media.NamedType(u.file) == media.NamedType("") {
			name = iconFolder + "none" // which is refused for its end
		}
		if err := c.keep(store, name); err != nil {
			return reply{}, err
		}
	}
	a, err := c.Store.UpdateApplication(c.ctx(), c.t, c.key, func(a *core.Application) error {
		before, a.Icon = a.Icon, name
		return nil
	})
	if err != nil {
		if name != "" { // nothing shows it
			err = errors.Join(err, store.Delete(context.WithoutCancel(c.ctx()), c.t, name))
		}
		return reply{}, found(err, s.model)
	}
	s.record(c, core.EventModelUpdated, a)
	if err := c.dropIcon(store, old.Slug, before); err != nil {
		c.Log.WarnContext(c.ctx(), "an icon that nothing shows is left behind", "icon", before, "error", err)
	}
	return reply{status: http.StatusOK, body: object{}}, nil
}

// dropIcon deletes an icon that setIcon kept for the application of that slug, unless an application or a brand shows it.
func (c *call) dropIcon(store media.Store, slug, name string) error {
	rest, ours := strings.CutPrefix(name, iconStem(slug))
	if random, _, _ := strings.Cut(rest, "."); !ours || len(random) != 22 || strings.Contains(rest, "/") {
		return nil
	}
	apps, err := every(Query{}, func(q Query) ([]core.Application, int, error) { return c.Store.ListApplications(c.ctx(), c.t, q) })
	if err != nil {
		return err
	}
	for _, a := range apps {
		if a.Icon == name {
			return nil
		}
	}
	brands, err := every(Query{}, func(q Query) ([]core.Brand, int, error) { return c.Store.ListBrands(c.ctx(), c.t, q) })
	if err != nil {
		return err
	}
	for _, b := range brands {
		if b.Logo == name || b.Favicon == name || b.Background == name {
			return nil
		}
	}
	if err := store.Delete(c.ctx(), c.t, name); !errors.Is(err, core.ErrNotFound) {
		return err
	}
	return nil
}
