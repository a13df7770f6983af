package outpost

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/postern-sso/postern/core"
)

// endpointPrefix is the path that belongs to the guard on every guarded host.
const endpointPrefix = "/outpost.goauthentik.io"

// endpoint names which of the guard's own pages a request target is. Ours and
// nameless is a path that some program might take for one of them: nothing is
// there, and it is not passed on either.
func endpoint(uri string) (name string, ours bool) {
	p := rawPath(uri)
	if strings.HasPrefix(p, endpointPrefix+"/") {
		switch name = strings.TrimSuffix(p[len(endpointPrefix)+1:], "/"); name {
		case "start", "callback", "sign_out", "ping":
			return name, true
		}
		return "", true
	}
	if !strings.ContainsAny(p, "%\\;.") { // it has no reading but its own, and the prefix has dots
		return "", false
	}
	for range 3 { // three rounds of decoding
		low := strings.ToLower(strings.ReplaceAll(p, "\\", "/"))
		segments := strings.Split(low, "/")
		for i := range segments { // path parameters (RFC 3986 §3.3) are dropped by some servers
			segments[i], _, _ = strings.Cut(segments[i], ";")
		}
		low = path.Clean("/" + strings.Join(segments, "/"))
		if low == endpointPrefix || strings.HasPrefix(low, endpointPrefix+"/") {
			return "", true
		}
		next, err := url.PathUnescape(p)
		if err != nil || next == p {
			break
		}
		p = next
	}
	return "", false
}

// start begins a login that ends where rd says, if that is on this host.
func (o *Outpost) start(ctx context.Context, q Request, tg *target, who *login) (Decision, error) {
	if q.HTTP.Method != http.MethodGet && q.HTTP.Method != http.MethodHead {
		return refuse(http.StatusMethodNotAllowed, "method_not_allowed", "Open this address in a browser", "It answers GET only."), nil
	}
	back := returnTo(q.Info, tg)
	if who != nil {
		return Decision{Status: http.StatusFound, Redirect: back}, nil
	}
	return o.begin(ctx, q, tg, back)
}

// returnTo reads rd, which ends the query: proxies put the URL there as it is, with its
// own query, and others encode it. Where it is not a URL of this host, or of the
// application's external host, the host's first page takes its place.
func returnTo(info *core.RequestInfo, tg *target) string {
	fallback := info.Origin() + "/"
	_, query, _ := strings.Cut(info.URI, "?")
	i := strings.Index("&"+query, "&rd=")
	if i < 0 {
		return fallback
	}
	rd := query[i+len("rd="):]
	if !strings.HasPrefix(rd, "/") && !strings.HasPrefix(rd, "http://") && !strings.HasPrefix(rd, "https://") {
		encoded, _, _ := strings.Cut(rd, "&")
		var err error
		if rd, err = url.QueryUnescape(encoded); err != nil {
			return fallback
		}
	}
	for i := range len(rd) {
		if c := rd[i]; c <= ' ' || c == 0x7f || c == '\\' {
			return fallback
		}
	}
	if strings.HasPrefix(rd, "/") && !strings.HasPrefix(rd, "//") {
		rd = info.Origin() + rd
	}
	u, err := url.Parse(rd)
	if err != nil || u.Opaque != "" || u.User != nil {
		return fallback
	}
	there := *info
	if !sameOrigin(u, info) {
		// Behind a proxy that tells us another host than people see.
		if there.Host = tg.external; there.Host == "" || !sameOrigin(u, &there) {
			return fallback
		}
	}
	if _, ours := endpoint(u.EscapedPath()); ours {
		return fallback // no way round in circles
	}
	rest := u.EscapedPath()
	if rest == "" {
		rest = "/"
	}
	if u.RawQuery != "" || u.ForceQuery {
		rest += "?" + u.RawQuery
	}
	there.URI = rest
	return ownURL(&there)
}

// signOut ends the application's session and the login behind it, and with that
// every other application's. A link on another site leads to a question first.
func (o *Outpost) signOut(ctx context.Context, q Request, tg *target, who *login) (Decision, error) {
	here := q.Info.Origin() + endpointPrefix + "/sign_out"
	cross := q.HTTP.Header.Get("Sec-Fetch-Site")
	switch q.HTTP.Method {
	case http.MethodGet, http.MethodHead:
		if who != nil && (cross == "cross-site" || q.HTTP.Method == http.MethodHead) {
			d := refuse(http.StatusOK, "confirm", "Log out?", "Another site sent you here. Logging out ends your login and that of every application.").at(here, "Log out")
			d.Refusal.Post = true
			return d, nil
		}
	case http.MethodPost:
		if cross != "" && cross != "same-origin" || cross == "" && foreignOrigin(q.HTTP, q.Info) {
			return refuse(http.StatusForbidden, "foreign_origin", "Refused", "A page of another site asked for this."), nil
		}
	default:
		return refuse(http.StatusMethodNotAllowed, "method_not_allowed", "Open this address in a browser", "It answers GET and POST only."), nil
	}
	if who != nil {
		for _, id := range []core.SessionID{who.session.ID, who.session.Parent} {
			if id == "" {
				continue
			}
			if err := o.Sessions.EndSession(ctx, q.Info.Tenant.ID, id); err != nil {
				return Decision{}, fmt.Errorf("end session: %w", err)
			}
		}
	}
	return Decision{
		Status: http.StatusFound, Redirect: q.Info.Tenant.Origin + "/",
		Cookies: []*http.Cookie{newCookie(tg.cookieFor(q.Info), "", q.Info.Scheme == "https")},
	}, nil
}
