package oidc

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/postern-sso/postern/core"
)

// maxPattern bounds the regular expression of a redirect URI, in bytes.
const maxPattern = 2048

// matchRedirect reports whether uri is one that the client registered. Strict
// means equal byte by byte (RFC 9700 §2.1): no port, slash, letter case or
// percent-encoding is forgiven. A regular expression must match the whole URI.
func matchRedirect(registered []core.RedirectURI, uri string) bool {
	if !safeRedirect(uri) {
		return false
	}
	for _, r := range registered {
		switch r.Mode {
		case core.MatchRegex:
			if matchWhole(r.URL, uri) {
				return true
			}
		default: // an unknown mode must not be the lax one
			if r.URL == uri {
				return true
			}
		}
	}
	return false
}

// matchWhole compiles the pattern alone first: "a)|(b" is no expression, but
// would be one between the brackets that anchor it, and match almost anything.
func matchWhole(pattern, uri string) bool {
	if len(pattern) > maxPattern {
		return false
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return false
	}
	whole, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	return err == nil && whole.MatchString(uri)
}

// safeRedirect refuses what no redirect URI may be, whatever is registered: a
// scheme that runs script, a fragment (RFC 6749 §3.1.2), a user name in front of
// the host, and bytes that browsers read in another way than we do.
func safeRedirect(uri string) bool {
	if uri == "" || len(uri) > maxRedirectURI {
		return false
	}
	for i := range len(uri) {
		if c := uri[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '#' {
			return false
		}
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" || u.User != nil {
		return false
	}
	switch strings.ToLower(u.Scheme) {
	case "javascript", "data", "vbscript":
		return false
	case "http", "https":
		return u.Host != "" && u.Hostname() != ""
	}
	return true
}

// originOf is scheme://host[:port] of a registered URI that is compared
// strictly, or "" where it has none.
func originOf(r core.RedirectURI) string {
	if r.Mode != core.MatchStrict {
		return ""
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	host := strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port) // as a browser's Origin header has it
	}
	return u.Scheme + "://" + host
}
