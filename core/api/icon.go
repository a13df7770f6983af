package api

import (
	"context"
	"errors"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

// iconFolder is where icons of applications are kept.
const iconFolder = "application-icons/"

const (
	// iconRandom is how many random characters the names of icons have that setIcon keeps.
	iconRandom = 22
	// dropWait bounds how long a request waits for a store to read and delete what nothing shows any more: an
	// icon that takes longer is left behind.
	dropWait = 3 * time.Second
	// putBackWait bounds how long it waits to put back what somebody took up meanwhile.
	putBackWait = 10 * time.Second
)

// iconName is a name that nobody can guess or has.
func iconName(slug, end string) string {
	return iconFolder + cutText(slug, 100) + "_" + core.RandomAlphanumeric(iconRandom) + end
}

// isKeptIcon reports whether a name is one of iconName. No other file can be uploaded under such a name.
func isKeptIcon(name string) bool {
	rest, ok := strings.CutPrefix(name, iconFolder)
	random, end, _ := strings.Cut(rest[strings.LastIndexByte(rest, '_')+1:], ".")
	other := func(r rune) bool { return (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') }
	return ok && len(random) == iconRandom && !strings.ContainsFunc(random, other) && len(rest) > iconRandom+len(end)+1 &&
		!strings.Contains(rest, "/") && media.NamedType("."+end) != media.NamedType("") && media.CheckName(name) == nil
}

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
		name = iconName(old.Slug, strings.ToLower(path.Ext(u.file)))
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
	c.dropIcons(before)
	return reply{status: http.StatusOK, body: object{}}, nil
}

// dropIcons deletes those that setIcon kept and that no application and no brand shows any more. What was asked for
// is done already, so a store that is away only leaves them behind.
func (c *call) dropIcons(names ...string) {
	names = slices.DeleteFunc(names, func(name string) bool { return !isKeptIcon(name) })
	if len(names) == 0 || c.Files == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), dropWait)
	defer cancel()
	shown, err := c.shown(ctx)
	for _, name := range names {
		if err == nil && !shown[name] {
			shown[name] = true // it may be there twice
			err = c.dropIcon(ctx, name)
		}
		if err != nil && !errors.Is(err, core.ErrNotFound) { // the tenant is gone
			c.Log.WarnContext(ctx, "an icon that nothing shows is left behind", "icon", name, "error", err)
		}
	}
}

// dropIcon deletes an icon that nothing showed a moment ago. Who took it up since then is found by a second look, which
// puts it back: whoever takes it up after that names a file that is not there. One that somebody deleted already is no
// error.
func (c *call) dropIcon(ctx context.Context, name string) error {
	file, err := c.Files.Open(ctx, c.t, name)
	if errors.Is(err, core.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if err := c.Files.Delete(ctx, c.t, name); errors.Is(err, core.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	shown, err := c.shown(ctx)
	if err == nil && !shown[name] {
		return nil
	}
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), putBackWait)
	defer cancel()
	return errors.Join(err, c.Files.Put(back, c.t, name, file))
}

// shown are the pictures of all applications and brands.
func (c *call) shown(ctx context.Context) (map[string]bool, error) {
	apps, err := every(Query{}, func(q Query) ([]core.Application, int, error) { return c.Store.ListApplications(ctx, c.t, q) })
	if err != nil {
		return nil, err
	}
	brands, err := every(Query{}, func(q Query) ([]core.Brand, int, error) { return c.Store.ListBrands(ctx, c.t, q) })
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	add := func(pictures ...string) {
		for _, p := range pictures {
			for _, scheme := range []string{media.Light, media.Dark} {
				variant, _ := media.Themed(p, scheme)
				out[variant] = true
			}
		}
	}
	for _, a := range apps {
		add(a.Icon)
	}
	for _, b := range brands {
		add(b.Logo, b.Favicon, b.Background)
	}
	return out, nil
}
