package login

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-sso/postern/core"
)

// maxNext bounds a path to return to: a sealed authorization request of 2 KiB
// and an answer fit several times.
const maxNext = 16 << 10

// localPath returns next as the path and query that a browser may be sent to on
// this host, or false. What a browser might read as another host is refused
// rather than repaired: a scheme, an authority, "//" and "\" in any spelling,
// control characters (RFC 9700 §4.11).
func localPath(r *http.Request, next string) (string, bool) {
	if next == "" || len(next) > maxNext || next[0] != '/' || hasControl(next) || strings.Contains(next, `\`) {
		return "", false
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Opaque != "" || u.User != nil || u.Host != "" {
		return "", false
	}
	if !strings.HasPrefix(u.Path, "/") || strings.Contains(u.Path, "//") || strings.Contains(u.Path, `\`) || hasControl(u.Path) {
		return "", false
	}
	info := core.Request(r.Context())
	base := &url.URL{Scheme: info.Scheme, Host: info.Host, Path: "/"}
	if to := base.ResolveReference(u); to.Scheme != base.Scheme || to.Host != base.Host || strings.HasPrefix(to.Path, "//") {
		return "", false
	}
	u.Fragment, u.RawQuery = "", escapeRaw(u.RawQuery)
	return u.String(), true
}

// escapeRaw escapes what a header may not hold, and leaves the rest of a query as
// it was sent.
func escapeRaw(query string) string {
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

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < 0x20 || c >= 0x7f && c < 0xa0 })
}

// next is where the query's next= leads, or "My applications".
func (h *Handler) next(r *http.Request) string {
	if next, ok := localPath(r, r.URL.Query().Get("next")); ok {
		return next
	}
	return pathPortal
}

// withQuery adds a parameter to a path that localPath returned or a constant.
func withQuery(path, key, value string) string {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return path + sep + key + "=" + url.QueryEscape(value)
}

// redirect sends the browser on. After a form it must not send the form again,
// so it is never 307 or 308 (RFC 9700 §4.12).
func (h *Handler) redirect(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "same-origin")
	w.Header().Set("Location", to)
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		w.WriteHeader(http.StatusFound)
		return
	}
	w.WriteHeader(http.StatusSeeOther)
}
