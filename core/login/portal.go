package login

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/policy"
)

// searchFrom is how many applications make a search field worth its place.
const searchFrom = 7

type portalPage struct {
	User      *core.User
	Admin     bool
	Search    string
	Searching bool
	Any       bool // there are applications, found or not
	Groups    []tileGroup
}

type tileGroup struct {
	Name  string
	Tiles []tile
}

// tile is one application that the user may open.
type tile struct {
	Name, Description, Publisher string
	URL                          string
	NewTab                       bool
	Icon                         template.URL // "": Initials on the colour Tone
	Dark                         template.URL // the icon in browsers that are set to dark; "": Icon
	Initials                     string
	Tone                         uint32
}

// servePortal is "My applications".
func (h *Handler) servePortal(w http.ResponseWriter, r *http.Request) {
	if !h.allow(w, r, http.MethodGet) {
		return
	}
	s, u, ok := h.person(w, r)
	if !ok {
		return
	}
	ctx, t := r.Context(), core.Request(r.Context()).Tenant.ID
	groups, err := h.Users.UserGroups(ctx, t, u.ID)
	if err != nil {
		h.fail(w, r, "find the user's groups", err)
		return
	}
	apps, err := h.openTo(ctx, t, u, groups)
	if err != nil {
		h.fail(w, r, "list applications", err)
		return
	}
	if to := home(core.Request(ctx).Look(ctx).Brand, u, apps); to != "" {
		h.redirect(w, r, to)
		return
	}
	page := portalPage{
		User: u, Admin: core.IsSuperuser(groups), Any: len(apps) > 0,
		Search: clip(strings.TrimSpace(r.URL.Query().Get("search")), 200),
	}
	page.Searching = page.Search != "" || len(apps) >= searchFrom
	page.Groups = h.groupTiles(ctx, searchApps(apps, page.Search))
	v := h.view(r, "My applications")
	v.Wide, v.Token, v.Data = true, h.formToken(w, r, formLogout, s.ID), page
	for _, g := range page.Groups {
		for _, tile := range g.Tiles {
			v.images = append(v.images, tile.Icon, tile.Dark)
		}
	}
	h.render(w, r, http.StatusOK, "portal", v)
}

// home is where an external user belongs who is on the way to nothing else: to the brand's
// default application, where they may open it. "": here.
func home(b *core.Brand, u *core.User, apps []launchable) string {
	if u.Type != core.UserExternal || b.Application == "" {
		return ""
	}
	for i := range apps {
		if apps[i].ID == b.Application {
			return apps[i].to
		}
	}
	return ""
}

// launchable is an application with where it leads.
type launchable struct {
	core.Application
	to string
}

// openTo lists the applications that a user may open and that lead somewhere.
func (h *Handler) openTo(ctx context.Context, t core.TenantID, u *core.User, groups []core.Group) ([]launchable, error) {
	apps, err := h.Applications.Applications(ctx, t)
	if err != nil {
		return nil, err
	}
	var out []launchable
	for i := range apps {
		d, err := h.Policy.Decide(ctx, t, policy.Request{Application: &apps[i], User: u, Groups: groups})
		if errors.Is(err, core.ErrBusy) { // one application's policy must not take away the page
			h.log().WarnContext(ctx, "leave an application out of the list", "application", apps[i].Slug, "error", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		if !d.Allowed {
			continue
		}
		to, err := h.launchURL(ctx, t, &apps[i], u)
		if err != nil {
			return nil, err
		}
		if to != "" {
			out = append(out, launchable{apps[i], to})
		}
	}
	return out, nil
}

// searchApps keeps those in which every word occurs.
func searchApps(apps []launchable, search string) []launchable {
	words := strings.Fields(core.Fold(search))
	if len(words) == 0 {
		return apps
	}
	return slices.DeleteFunc(apps, func(a launchable) bool {
		text := core.Fold(a.Name + " " + a.Description + " " + a.Publisher + " " + a.Group)
		return slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
	})
}

// groupTiles sorts by heading, those without one first.
func (h *Handler) groupTiles(ctx context.Context, apps []launchable) []tileGroup {
	of, brand := core.Request(ctx).Tenant, core.Request(ctx).Look(ctx).Brand
	var groups []tileGroup
	for _, a := range apps {
		i := slices.IndexFunc(groups, func(g tileGroup) bool { return g.Name == a.Group })
		if i < 0 {
			i = len(groups)
			groups = append(groups, tileGroup{Name: a.Group})
		}
		groups[i].Tiles = append(groups[i].Tiles, tile{
			Name: a.Name, Description: a.Description, Publisher: a.Publisher, URL: a.to, NewTab: a.OpenInNewTab,
			Initials: initials(a.Name), Tone: tone(a.Name),
		})
		t := &groups[i].Tiles[len(groups[i].Tiles)-1]
		t.Icon, t.Dark = h.variants(of, brand, a.Icon)
	}
	slices.SortStableFunc(groups, func(a, b tileGroup) int { return cmp.Compare(core.Fold(a.Name), core.Fold(b.Name)) })
	return groups
}

// initials are the first letters of the first two words.
func initials(name string) string {
	out := ""
	for word := range strings.FieldsFuncSeq(name, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }) {
		if len([]rune(out)) == 2 {
			break
		}
		out += string(unicode.ToUpper([]rune(word)[0]))
	}
	return out
}

// tone is the same colour for the same name, one of eight.
func tone(name string) uint32 {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(core.Fold(name)))
	return sum.Sum32() % 8
}

// safeImage returns what an img may show: an http or https URL, a path on this
// host, a picture in a data URL; else "".
//
// The result is a template.URL because html/template refuses every data URL.
func safeImage(icon string) template.URL {
	if len(icon) > 64<<10 {
		return ""
	}
	if kind, _, ok := strings.Cut(icon, ","); ok && strings.HasPrefix(icon, "data:") {
		for _, picture := range []string{"png", "jpeg", "gif", "webp", "svg+xml"} {
			if strings.HasPrefix(kind+";", "data:image/"+picture+";") {
				return template.URL(icon) //nolint:gosec // a picture, and only an img shows it
			}
		}
		return ""
	}
	to, _ := core.LinkTarget(icon)
	return template.URL(to) //nolint:gosec // http, https or a path on this host
}

// imageHost is the source expression that lets a page show an image of another
// host (CSP Level 3 §2.3.1), or "".
func imageHost(image template.URL) string {
	u, err := url.Parse(string(image))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	name, port, err := core.NormalizeHost(u.Host)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + core.JoinHost(name, port)
}

// serveLaunch sends a user on to an application.
func (h *Handler) serveLaunch(w http.ResponseWriter, r *http.Request, slug string) {
	if !h.allow(w, r, http.MethodGet) {
		return
	}
	_, u, ok := h.person(w, r)
	if !ok {
		return
	}
	ctx, t := r.Context(), core.Request(r.Context()).Tenant.ID
	app, err := h.Applications.ApplicationBySlug(ctx, t, slug)
	if errors.Is(err, core.ErrNotFound) {
		h.notFound(w, r)
		return
	}
	if err != nil {
		h.fail(w, r, "find the application", err)
		return
	}
	groups, err := h.Users.UserGroups(ctx, t, u.ID)
	if err != nil {
		h.fail(w, r, "find the user's groups", err)
		return
	}
	d, err := h.Policy.Decide(ctx, t, policy.Request{Application: app, User: u, Groups: groups})
	if err != nil {
		h.fail(w, r, "decide", err)
		return
	}
	if !d.Allowed {
		h.Policy.Refuse(ctx, t, d, "launch")
		h.Deny(w, r, core.Denial{Application: app.Name, UserName: u.UserName, Messages: d.Notice(), Decision: d.ID, ReturnTo: r.URL.EscapedPath()})
		return
	}
	to, err := h.launchURL(ctx, t, app, u)
	if err != nil {
		h.fail(w, r, "find where the application leads", err)
		return
	}
	if to == "" {
		h.notFound(w, r)
		return
	}
	h.redirect(w, r, to)
}

// serveAdmin says where administration is done.
func (h *Handler) serveAdmin(w http.ResponseWriter, r *http.Request) {
	if !h.allow(w, r, http.MethodGet) {
		return
	}
	s, u, ok := h.person(w, r)
	if !ok {
		return
	}
	groups, err := h.Users.UserGroups(r.Context(), core.Request(r.Context()).Tenant.ID, u.ID)
	if err != nil {
		h.fail(w, r, "find the user's groups", err)
		return
	}
	if !core.IsSuperuser(groups) {
		h.Refuse(w, r, http.StatusForbidden, "This page is for administrators", "You are logged in as "+u.UserName+", who is not one.")
		return
	}
	v := h.view(r, "Administration")
	v.Wide, v.Token, v.Data = true, h.formToken(w, r, formLogout, s.ID), portalPage{User: u, Admin: true}
	h.render(w, r, http.StatusOK, "admin", v)
}
