package outpost

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/postern-sso/postern/core"
)

// cookiePrefix begins the name of an application's session cookie; the rest is
// 8 hexadecimal digits of the SHA-256 of its client ID.
const cookiePrefix = "authentik_proxy_"

// hostPrefix begins the names of all cookies of guards over TLS. Browsers take such a cookie from this
// host alone (RFC 6265bis §4.1.3.2); else a page of a neighbour host, another tenant's say, could set one
// for the domain above both, and so log people in as somebody else, or keep them out.
const hostPrefix = "__Host-"

// A browser sends several cookies of one name where they were set for several
// paths or domains, and without TLS a neighbour domain can add some. So many are tried.
const maxSameName = 4

func cookieName(clientID string) string {
	sum := sha256.Sum256([]byte(clientID))
	return cookiePrefix + hex.EncodeToString(sum[:4])
}

// cookieFor is the name of the session cookie by the request's scheme.
func (tg *target) cookieFor(info *core.RequestInfo) string {
	if info.Scheme == "https" {
		return tg.hostCookie
	}
	return tg.cookie
}

// blank reports whether c may stand around names and values (RFC 6265 §5.2). To browsers any other space is
// part of a name, which then has no prefix that binds it to its host.
func blank(c byte) bool { return c == ' ' || c == '\t' }

// trimBlanks is strings.Trim, of which every request would make a set of characters four times.
func trimBlanks(s string) string {
	for s != "" && blank(s[0]) {
		s = s[1:]
	}
	for s != "" && blank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// eachCookie calls f for each name and value until it returns false. It does not
// refuse what RFC 6265 would: what f does not know is no one's.
func eachCookie(h http.Header, f func(name, value string) bool) {
	for _, line := range h["Cookie"] {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			name, value, _ := strings.Cut(pair, "=")
			if !f(trimBlanks(name), trimBlanks(value)) {
				return
			}
		}
	}
}

// ownCookie reports whether a cookie belongs to the identity provider or its
// guards: an application has no business with any of them.
func ownCookie(name string) bool {
	const own = "authentik_"
	name = strings.TrimSpace(name) // of every space: an application may be as generous
	for _, prefix := range []string{"__host-", "__secure-"} {
		if len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			name = name[len(prefix):]
		}
	}
	return len(name) >= len(own) && strings.EqualFold(name[:len(own)], own)
}

// stripCookies takes our cookies out of what goes upstream and leaves the others as they
// were.
func stripCookies(h http.Header) {
	found := false
	eachCookie(h, func(name, _ string) bool {
		found = ownCookie(name)
		return !found
	})
	if !found {
		return
	}
	if lines := h["Cookie"]; len(lines) == 1 && strings.IndexByte(lines[0], ';') < 0 { // ours alone
		delete(h, "Cookie")
		return
	}
	var kept []string
	for _, line := range h["Cookie"] {
		var pairs []string
		for pair := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if !ownCookie(name) && strings.TrimSpace(pair) != "" {
				pairs = append(pairs, strings.TrimSpace(pair))
			}
		}
		if len(pairs) > 0 {
			kept = append(kept, strings.Join(pairs, "; "))
		}
	}
	if kept == nil {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

// newCookie is how every cookie of a guard is set: it goes to this host only, and scripts do not
// see it. value "" removes it.
func newCookie(name, value string, secure bool) *http.Cookie {
	c := &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode} //nolint:gosec // Secure wherever the site has TLS; Caddyfile.example has none
	if value == "" {
		c.MaxAge = -1
	}
	return c
}
