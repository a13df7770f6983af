package login

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/postern-sso/postern/core"
)

// hiddenLaunch is what authentik's users write to keep an application off the
// list.
const hiddenLaunch = "blank://blank"

// launchURL is where an application's tile leads, for a user; "": it has none.
// What is not an http or https URL, or a path on this host, is none either.
func (h *Handler) launchURL(ctx context.Context, t core.TenantID, app *core.Application, u *core.User) (string, error) {
	raw := app.LaunchURL
	if raw == "" && app.Provider != 0 {
		p, err := h.Applications.Provider(ctx, t, app.Provider)
		if err != nil && !errors.Is(err, core.ErrNotFound) {
			return "", fmt.Errorf("find the provider of %s: %w", app.Slug, err)
		}
		raw = guessLaunch(p)
	}
	if raw == "" || raw == hiddenLaunch {
		return "", nil
	}
	to, _ := safeLaunch(fillLaunch(raw, u))
	return to, nil
}

// guessLaunch takes the first redirect URI that is compared strictly, without its
// path, or the host that a proxy guards.
func guessLaunch(p core.Provider) string {
	switch p := p.(type) {
	case *core.Client:
		for _, r := range p.RedirectURIs {
			u, err := url.Parse(r.URL)
			if err != nil || r.Mode == core.MatchRegex || u.Scheme != "http" && u.Scheme != "https" {
				continue
			}
			u.Path, u.RawPath, u.Fragment = "", "", ""
			return u.String()
		}
	case *core.ProxyProvider:
		return p.ExternalHost
	}
	return ""
}

// fillLaunch puts the user's fields in place of %(username)s and its like, each
// escaped for a URL. Text that Python's % would refuse is left as it is.
func fillLaunch(raw string, u *core.User) string {
	if !strings.Contains(raw, "%(") {
		return raw
	}
	var out strings.Builder
	for rest := raw; ; {
		before, after, found := strings.Cut(rest, "%")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		if tail, ok := strings.CutPrefix(after, "%"); ok {
			out.WriteByte('%')
			rest = tail
			continue
		}
		name, tail, ok := strings.Cut(after, ")s")
		if !ok || !strings.HasPrefix(name, "(") {
			return raw
		}
		value, ok := launchField(name[1:], u)
		if !ok {
			return raw
		}
		out.WriteString(strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
		rest = tail
	}
}

func launchField(name string, u *core.User) (string, bool) {
	switch name {
	case "username":
		return u.UserName, true
	case "email":
		return u.Email, true
	case "name":
		return u.DisplayName, true
	case "uuid":
		return string(u.ID), true
	case "pk", "id":
		return strconv.FormatInt(u.PK, 10), true
	}
	return "", false
}

// safeLaunch returns a URL that a link may lead to: absolute http or https, or a
// path on this host. Nothing that runs in our page (javascript:, data:).
func safeLaunch(raw string) (string, bool) {
	raw = strings.TrimSpace(raw)
	u, err := url.Parse(raw)
	if err != nil || raw == "" || len(raw) > 4096 || hasControl(raw) {
		return "", false
	}
	u.RawQuery = escapeRaw(u.RawQuery)
	switch u.Scheme {
	case "http", "https":
		if _, _, err := core.NormalizeHost(u.Host); err != nil || u.Opaque != "" {
			return "", false
		}
		return u.String(), true
	case "":
		if u.Host == "" && strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "//") && !strings.Contains(raw, `\`) {
			return u.String(), true
		}
	}
	return "", false
}
