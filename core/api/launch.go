package api

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/postern-sso/postern/core"
)

var placeholder = regexp.MustCompile(`%\([a-z_]+\)s`)

// hidden is the launch URL of an application that is not meant to be launched.
const hidden = "blank://blank"

// launchable reports whether s may be an application's launch URL: one of the web,
// with placeholders such as %(username)s in it, or none.
func launchable(s string) bool {
	return s == "" || s == hidden || isWebURL(placeholder.ReplaceAllString(s, "x"))
}

// launchURL is where u is sent to open the application: what is configured, with
// u's names in it, or a guess from the provider. "" for none.
func launchURL(a *core.Application, p core.Provider, t *core.Tenant, u *core.User) string {
	switch {
	case a.LaunchURL == hidden:
		return ""
	case a.LaunchURL != "":
		return fillIn(a.LaunchURL, t, u)
	}
	switch p := p.(type) {
	case *core.ProxyProvider:
		return p.ExternalHost
	case *core.Client:
		for _, r := range p.RedirectURIs {
			if r.Mode != core.MatchStrict || !isWebURL(r.URL) {
				continue
			}
			if parsed, err := url.Parse(r.URL); err == nil {
				parsed.Path, parsed.RawPath = "", ""
				return parsed.String()
			}
		}
	}
	return ""
}

// fillIn puts u's names into the placeholders, escaped, so that a name stays one
// part of the URL. What would lead elsewhere than the web is left as it is.
func fillIn(s string, t *core.Tenant, u *core.User) string {
	if u == nil || !strings.Contains(s, "%(") {
		return s
	}
	filled := placeholder.ReplaceAllStringFunc(s, func(p string) string {
		switch p {
		case "%(username)s":
			return escape(u.UserName)
		case "%(name)s":
			return escape(u.DisplayName)
		case "%(email)s":
			return escape(u.Email)
		case "%(uuid)s":
			return string(u.ID)
		case "%(pk)s", "%(id)s":
			return strconv.FormatInt(u.PK, 10)
		case "%(uid)s":
			return hashedID(t, u)
		}
		return p
	})
	if !isWebURL(filled) {
		return s
	}
	return filled
}

// escape keeps a name one part of a path or of a query.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// iconURL is where an icon is fetched: null for none, and for a media file, whose
// address only the media server knows.
func iconURL(icon string) any {
	if isWebURL(icon) || strings.HasPrefix(icon, "fa://") || strings.HasPrefix(icon, "/") {
		return icon
	}
	return nil
}
