package core

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// LaunchHidden is the launch URL of an application that is not meant to be launched.
const LaunchHidden = "blank://blank"

// launchField is what may stand in a launch URL for something of the user, and the sign
// for a percent sign beside it.
var launchField = regexp.MustCompile(`%%|%\([a-z_]+\)s`)

// maxLink bounds where a link may lead, in bytes.
const maxLink = 4096

// LaunchURL is where u opens an application that is connected by p (nil: by nothing):
// what is configured, with u's names in it, or a guess from the provider. "" where it
// cannot be launched, or would lead elsewhere than [LinkTarget] allows.
func LaunchURL(a *Application, p Provider, t *Tenant, u *User) string {
	raw := a.LaunchURL
	switch raw {
	case LaunchHidden:
		return ""
	case "":
		raw = guessLaunch(p)
	default:
		raw = fillLaunch(raw, t, u)
	}
	to, _ := LinkTarget(raw)
	return to
}

// Launchable reports whether s may be an application's launch URL: one of the web, with
// placeholders such as %(username)s in it, or none.
func Launchable(s string) bool {
	if s == "" || s == LaunchHidden {
		return true
	}
	if strings.ContainsFunc(s, func(c rune) bool { return unicode.IsSpace(c) || c == '\\' }) {
		return false
	}
	to, ok := LinkTarget(launchField.ReplaceAllString(s, "x"))
	return ok && !strings.HasPrefix(to, "/")
}

// guessLaunch is the host that a proxy guards, or the first redirect URI that is compared
// byte by byte, without its path.
func guessLaunch(p Provider) string {
	switch p := p.(type) {
	case *ProxyProvider:
		return p.ExternalHost
	case *Client:
		for _, r := range p.RedirectURIs {
			u, err := url.Parse(r.URL)
			if err != nil || r.Mode == MatchRegex || u.Scheme != "http" && u.Scheme != "https" {
				continue
			}
			u.Path, u.RawPath, u.Fragment, u.RawFragment = "", "", "", ""
			return u.String()
		}
	}
	return ""
}

// fillLaunch puts u's fields into the placeholders, each escaped, so that a name stays
// one part of the URL. A placeholder that names nothing known is left as it is.
func fillLaunch(s string, t *Tenant, u *User) string {
	if u == nil || !strings.Contains(s, "%(") {
		return s
	}
	return launchField.ReplaceAllStringFunc(s, func(p string) string {
		value := ""
		switch p {
		case "%%":
			return "%"
		case "%(username)s":
			value = u.UserName
		case "%(name)s":
			value = u.DisplayName
		case "%(email)s":
			value = u.Email
		case "%(uuid)s":
			value = string(u.ID)
		case "%(uid)s":
			value = u.HashedID(t.UUID)
		case "%(pk)s", "%(id)s":
			value = strconv.FormatInt(u.PK, 10)
		default:
			return p
		}
		return strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
	})
}

// LinkTarget returns a URL that a link of ours may lead to: absolute http or https, or
// a path on this host; not javascript: or data:, which would run in our page, and not
// //host or \, which browsers read as another host.
func LinkTarget(raw string) (string, bool) {
	raw = strings.TrimSpace(raw)
	control := func(c rune) bool { return c < 0x20 || c >= 0x7f && c < 0xa0 }
	u, err := url.Parse(raw)
	if err != nil || raw == "" || len(raw) > maxLink || strings.ContainsFunc(raw, control) {
		return "", false
	}
	u.RawQuery = escapeLink(u.RawQuery)
	switch u.Scheme {
	case "http", "https":
		if _, _, err := NormalizeHost(u.Host); err != nil || u.Opaque != "" {
			return "", false
		}
		return u.String(), true
	case "":
		// What is written anew may begin with // although raw does not.
		if to := u.String(); u.Host == "" && strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "//") && !strings.HasPrefix(to, "//") && !strings.Contains(raw, `\`) {
			return to, true
		}
	}
	return "", false
}

// escapeLink escapes what net/url leaves in a query although it may not stand there.
func escapeLink(query string) string {
	var out strings.Builder
	for _, c := range []byte(query) {
		if c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&out, "%%%02X", c)
			continue
		}
		out.WriteByte(c)
	}
	return out.String()
}
