package outpost

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-sso/postern/core"
)

// interactive reports whether a person waits for a page: only then is a redirect to
// a login of any use. A script would follow it and read the login page as data;
// an image would leave a login under way for each try.
func interactive(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		return false
	}
	if upgrades(r) || r.Header.Get("X-Requested-With") != "" {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && !strings.EqualFold(mode, "navigate") {
		return false
	}
	accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
	if strings.Contains(accept, "text/html") {
		return true
	}
	if strings.Contains(accept, "json") || strings.Contains(accept, "text/event-stream") {
		return false
	}
	if r.Method == http.MethodPost { // a form of a page, and no program's body
		kind, _, _ := strings.Cut(strings.ToLower(r.Header.Get("Content-Type")), ";")
		switch strings.TrimSpace(kind) {
		case "", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain":
			return true
		}
		return false
	}
	return true
}

// upgrades reports whether the client asks for another protocol, such as WebSocket
// (RFC 6455 §4.1; over HTTP/2 and 3 by extended CONNECT, RFC 8441 §4).
func upgrades(r *http.Request) bool {
	return r.Header.Get("Upgrade") != "" || r.Method == http.MethodConnect
}

// foreignOrigin reports whether a page of another origin sent the request.
func foreignOrigin(r *http.Request, info *core.RequestInfo) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !sameOrigin(u, info)
}

// sameOrigin compares as parsed, not as text: scheme, host, and port with the scheme's
// default put aside (RFC 6454 §4).
func sameOrigin(u *url.URL, info *core.RequestInfo) bool {
	if !strings.EqualFold(u.Scheme, info.Scheme) || u.User != nil {
		return false
	}
	name, port, err := core.NormalizeHost(u.Host)
	if err != nil {
		return false
	}
	if info.Scheme == "http" && port == "80" || info.Scheme == "https" && port == "443" {
		port = ""
	}
	return core.JoinHost(name, port) == info.Host
}
