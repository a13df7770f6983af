package api

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
	"github.com/postern-sso/postern/core/policy"
)

var slug = regexp.MustCompile(`^[-a-zA-Z0-9_]+$`)

func applicationListing() listing {
	return listing{
		filters: map[string]filter{
			"name": byText, "slug": byText, "group": byText, "meta_launch_url": byText,
			"meta_description": byText, "meta_publisher": byText,
		},
		order:  []string{"name", "slug", "group", "pk"},
		preset: []string{"name"},
	}
}

// applicationParameters are those of the list beside its filters.
func applicationParameters() []parameter {
	return []parameter{
		flag("superuser_full_list", false, "All applications, also those that the user may not open. For superusers."),
		flag("only_with_launch_url", false, "Only what can be launched."),
		forUser(),
	}
}

func applications() *resource[core.Application] {
	return &resource[core.Application]{
		model: "Application", app: "authentik_core", verbose: "Application", key: "slug",
		members: []member{
			always("pk", uuidShape()), always("provider_obj", providerShape().orNull()), always("backchannel_providers_obj", listShape(providerShape())),
			always("launch_url", textShape().orNull()), always("meta_icon_url", textShape().orNull()), always("meta_icon_themed_urls", themedURLsShape().orNull()),
		},
		listing: applicationListing(),
		find: func(c *call, key string) (*core.Application, error) {
			return c.Store.ApplicationBySlug(c.ctx(), c.t, key)
		},
		page: func(c *call, q Query) ([]core.Application, int, error) {
			return c.Store.ListApplications(c.ctx(), c.t, q)
		},
		create: func(c *call, a *core.Application) error { return c.Store.CreateApplication(c.ctx(), c.t, a) },
		update: func(c *call, key string, change func(*core.Application) error) (*core.Application, error) {
			return c.Store.UpdateApplication(c.ctx(), c.t, key, change)
		},
		remove: func(c *call, key string) error { return c.Store.DeleteApplication(c.ctx(), c.t, key) },
		fresh:  func(*call) *core.Application { return &core.Application{PolicyMode: "any"} },
		read:   readApplication,
		check:  checkApplication,
		after: func(c *call, old, a *core.Application) error {
			if old != nil && (a == nil || a.Icon != old.Icon) {
				c.dropIcons(old.Icon)
			}
			return nil
		},
		show:  func(c *call, a *core.Application) (any, error) { return showApplication(c, a, c.user) },
		label: func(a *core.Application) (string, string) { return string(a.ID), a.Name },
	}
}

func readApplication(f *fields, a *core.Application) {
	text(f, "name", rule{required: true, max: 1000}, &a.Name)
	text(f, "slug", rule{required: true, max: 255, format: slugFormat}, &a.Slug)
	if f.has("slug") && len(f.errs["slug"]) == 0 && reserved(a.Slug) {
		f.fail("slug", fmt.Sprintf("The slug '%s' is reserved and cannot be used for applications.", a.Slug))
	}
	integer(f, "provider", rule{null: true}, &a.Provider)
	integers(f, "backchannel_providers", &a.Backchannel)
	boolean(f, "open_in_new_tab", &a.OpenInNewTab)
	text(f, "meta_launch_url", rule{blank: true, null: true, max: maxURL, about: "May hold %(username)s and the like."}, &a.LaunchURL)
	if f.has("meta_launch_url") && len(f.errs["meta_launch_url"]) == 0 && !core.Launchable(a.LaunchURL) {
		f.fail("meta_launch_url", "Enter a valid URL, which begins with https:// or http://.")
	}
	readIcon(f, "meta_icon", &a.Icon)
	text(f, "meta_description", rule{blank: true, null: true, lines: true}, &a.Description)
	text(f, "meta_publisher", rule{blank: true, null: true}, &a.Publisher)
	text(f, "group", rule{blank: true, null: true}, &a.Group)
	choice(f, "policy_engine_mode", &a.PolicyMode, "any", "all")
}

// reserved are the words that stand where a slug stands, below /application/o/.
func reserved(s string) bool {
	switch strings.ToLower(s) {
	case "authorize", "token", "device", "userinfo", "introspect", "revoke":
		return true
	}
	return false
}

// readIcon takes a URL of the web, a path of ours, a built-in icon (fa://name), or
// the name of a media file; all with %(theme)s for light or dark.
func readIcon(f *fields, name string, into *string) {
	icon := *into
	text(f, name, rule{required: name == "url", blank: true, null: true, max: maxURL, about: "A URL, a path, fa://name, or the name of a media file. Of %(theme)s pages make light or dark."}, &icon)
	if !f.has(name) || len(f.errs[name]) > 0 {
		return
	}
	shown, _ := media.Themed(icon, media.Light)
	named, _, isURL := strings.Cut(icon, ":")
	switch {
	case isWebURL(shown) || strings.HasPrefix(icon, "fa://"):
	case strings.HasPrefix(icon, "//") || strings.Contains(icon, `\`) || slices.Contains(strings.Split(icon, "/"), ".."):
		f.fail(name, "Enter a URL that begins with https:// or http://, a path, or the name of a media file.")
		return
	case strings.EqualFold(named, "https") || strings.EqualFold(named, "http"):
		f.fail(name, "Enter a valid URL: a host, and no space in it.")
		return
	case isURL && !strings.Contains(named, "/"):
		f.fail(name, fmt.Sprintf("The scheme %.20q is not allowed: use https or http.", named))
		return
	}
	*into = icon
}

// checkPicture refuses to name a media file that is not there already, without the right to see media files: a picture
// that is named is shown, whatever file of the tenant it is.
func (c *call) checkPicture(f *fields, name, picture, before string) {
	light, _ := media.Themed(picture, media.Light)
	dark, _ := media.Themed(picture, media.Dark)
	names := media.CheckName(light) == nil || media.CheckName(dark) == nil
	if f.has(name) && picture != before && names && !c.may(viewMedia) {
		f.fail(name, "To name a media file needs the right "+viewMedia+".")
	}
}

func checkApplication(c *call, f *fields, a, old *core.Application) error {
	before := ""
	if old != nil {
		before = old.Icon
	}
	c.checkPicture(f, "meta_icon", a.Icon, before)
	if f.has("provider") && a.Provider != 0 && len(f.errs["provider"]) == 0 {
		number := strconv.FormatInt(int64(a.Provider), 10)
		if _, err := c.Store.Provider(c.ctx(), c.t, a.Provider); errors.Is(err, core.ErrNotFound) {
			f.fail("provider", noPK(number))
		} else if err != nil {
			return err
		}
		other, err := c.Store.ApplicationByProvider(c.ctx(), c.t, a.Provider)
		if err != nil && !errors.Is(err, core.ErrNotFound) {
			return err
		}
		if err == nil && (old == nil || other.ID != old.ID) {
			f.fail("provider", "Application with this provider already exists.")
		}
	}
	if !f.has("backchannel_providers") {
		return nil
	}
	for _, id := range a.Backchannel {
		number := strconv.FormatInt(int64(id), 10)
		switch _, err := c.Store.Provider(c.ctx(), c.t, id); {
		case errors.Is(err, core.ErrNotFound):
			f.fail("backchannel_providers", noPK(number))
		case err != nil:
			return err
		default:
			f.fail("backchannel_providers", "The provider "+number+" is of a kind that cannot be used as a backchannel provider.")
		}
	}
	return nil
}

// showApplication is the application as u sees it; what it is connected by is for
// superusers.
func showApplication(c *call, a *core.Application, u *core.User) (object, error) {
	out := object{
		"pk": string(a.ID), "name": a.Name, "slug": a.Slug, "group": a.Group,
		"provider": nil, "provider_obj": nil,
		"backchannel_providers": list(a.Backchannel), "backchannel_providers_obj": []object{},
		"launch_url": nil, "open_in_new_tab": a.OpenInNewTab, "meta_launch_url": a.LaunchURL,
		"meta_icon": a.Icon, "meta_icon_url": c.icon(a.Icon), "meta_icon_themed_urls": c.themed(a.Icon),
		"meta_description": a.Description, "meta_publisher": a.Publisher, "policy_engine_mode": a.PolicyMode,
	}
	var provider core.Provider
	if a.Provider != 0 {
		out["provider"] = int64(a.Provider)
		var err error
		provider, err = c.provider(a.Provider)
		if err != nil && !errors.Is(err, core.ErrNotFound) {
			return nil, err
		}
		if err == nil && c.may(viewOf(provider)) {
			if out["provider_obj"], err = showProvider(c, provider); err != nil {
				return nil, err
			}
		}
	}
	out["launch_url"] = orNull(core.LaunchURL(a, provider, c.info.Tenant, u))
	return out, nil
}

// listApplications shows what the user may open. A superuser may ask for all of
// them, or for what another user may open.
func listApplications(c *call) (reply, error) {
	q, p, err := c.query()
	if err != nil {
		return reply{}, err
	}
	everyone := c.may("authentik_core.view_application") && c.param("superuser_full_list") == "true"
	launchable := c.param("only_with_launch_url") == "true"
	user, groups := c.user, c.groups
	if c.param("for_user") != "" {
		if !c.may("authentik_core.view_application") {
			return reply{}, errPermission
		}
		if user, err = c.forUser(); err != nil {
			return reply{}, err
		}
		if groups, err = c.Store.UserGroups(c.ctx(), c.t, user.ID); err != nil {
			return reply{}, err
		}
	}
	rows, err := every(q, func(q Query) ([]core.Application, int, error) {
		return c.Store.ListApplications(c.ctx(), c.t, q)
	})
	if err != nil {
		return reply{}, err
	}
	if !everyone {
		open, err := openTo(c, rows, user, groups)
		if err != nil {
			return reply{}, err
		}
		rows = slices.DeleteFunc(rows, func(a core.Application) bool {
			viewed := c.param("superuser_full_list") == "true" && c.views(&a)
			return !viewed && !slices.ContainsFunc(open, func(b core.Application) bool { return b.ID == a.ID })
		})
	}
	count := len(rows)
	if !launchable {
		rows = cut(rows, p) // what is on another page need not be shown
	}
	if err := gatherApplications(c, rows); err != nil {
		return reply{}, err
	}
	var results []any
	for i := range rows {
		out, err := showApplication(c, &rows[i], user)
		if err != nil {
			return reply{}, err
		}
		if !launchable || out["launch_url"] != nil {
			results = append(results, out)
		}
	}
	if launchable {
		count, results = len(results), cut(results, p)
	}
	return envelope(p, count, results)
}

// openTo keeps the applications that a user may open. One whose policy cannot be run right now is not
// among them.
func openTo(c *call, rows []core.Application, user *core.User, groups []core.Group) ([]core.Application, error) {
	var out []core.Application
	for i := range rows {
		d, err := c.Policy.Decide(c.ctx(), c.t, policy.Request{Application: &rows[i], User: user, Groups: groups})
		if err != nil && !errors.Is(err, core.ErrBusy) {
			return nil, err
		}
		if err == nil && d.Allowed {
			out = append(out, rows[i])
		}
	}
	return out, nil
}

// views reports whether the one who asks has the right to see an application, or all.
func (c *call) views(a *core.Application) bool {
	return c.rights.HasOn("authentik_core.view_application", string(a.ID))
}

// retrieveApplication shows an application to who may open it, and to
// superusers; to others it is not there.
func retrieveApplication(c *call) (reply, error) {
	a, err := c.Store.ApplicationBySlug(c.ctx(), c.t, c.key)
	if err != nil {
		return reply{}, found(err, "Application")
	}
	if !c.views(a) {
		d, err := c.Policy.Decide(c.ctx(), c.t, policy.Request{Application: a, User: c.user, Groups: c.groups})
		if err != nil {
			return reply{}, err
		}
		if !d.Allowed {
			return reply{}, noSuch("Application")
		}
	}
	return applications().answer(c, a, ok)
}

func readIconURL(url *string) func(*fields) {
	return func(f *fields) { readIcon(f, "url", url) }
}

// themedURLsShape is an icon for each colour scheme.
func themedURLsShape() shape {
	return objectShape("ThemedUrls", sometimes("light", textShape()), sometimes("dark", textShape()))
}

// setIconURL is how programs of before 2026 set the icon.
func setIconURL(c *call) (reply, error) {
	s, url := applications(), ""
	readIconURL(&url)(c.body)
	if err := c.body.err(); err != nil {
		return reply{}, err
	}
	old, err := s.one(c)
	if err != nil {
		return reply{}, err
	}
	c.checkPicture(c.body, "url", url, old.Icon)
	if err := c.body.err(); err != nil {
		return reply{}, err
	}
	before := ""
	a, err := c.Store.UpdateApplication(c.ctx(), c.t, c.key, func(a *core.Application) error {
		before, a.Icon = a.Icon, url
		return nil
	})
	if err != nil {
		return reply{}, found(err, s.model)
	}
	s.record(c, core.EventModelUpdated, a)
	c.dropIcons(before)
	return reply{status: http.StatusOK, body: object{}}, nil
}
