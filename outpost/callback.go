package outpost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-sso/postern/core"
)

// The parameters that mean something on any URL of a guarded host.
const (
	callbackParam = "X-authentik-auth-callback"
	logoutParam   = "X-authentik-logout"
)

// callbackURL is where a login that began at back returns to: the same URL with one parameter
// more, so that whatever chose the guard for back chooses it again.
func callbackURL(back string) string {
	sep := "?"
	if strings.Contains(back, "?") {
		sep = "&"
	}
	return back + sep + callbackParam + "=true"
}

// answer is an authorization response (RFC 6749 §4.1.2) that came back on a URL.
type answer struct {
	code, state, err string
	clean            string // path and query without what the response added
}

// comesBack reads an authorization response. The application may have parameters
// of the same names: those of the response follow our own parameter.
func comesBack(uri string) (answer, bool) {
	path, query, ok := strings.Cut(uri, "?")
	if !ok || !strings.Contains(query, callbackParam+"=true") {
		return answer{}, false
	}
	var a answer
	var kept []string
	marked := false
	for piece := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(piece, "=")
		if key == callbackParam {
			marked = true
			continue
		}
		if !marked {
			kept = append(kept, piece)
			continue
		}
		value, err := url.QueryUnescape(value)
		if err != nil {
			return answer{}, false
		}
		switch key {
		case "code":
			a.code = value
			continue
		case "state":
			a.state = value
			continue
		case "error":
			a.err = value
			continue
		case "iss", "error_description", "error_uri", "session_state":
			continue
		}
		kept = append(kept, piece)
	}
	a.clean = path
	if len(kept) > 0 {
		a.clean += "?" + strings.Join(kept, "&")
	}
	return a, marked && a.state != "" && (a.code != "" || a.err != "")
}

// asksLogout reports whether the query asks to log out.
func asksLogout(uri string) bool {
	_, query, ok := strings.Cut(uri, "?")
	if !ok || !strings.Contains(query, logoutParam) {
		return false
	}
	for piece := range strings.SplitSeq(query, "&") {
		if piece == logoutParam+"=true" {
			return true
		}
	}
	return false
}

// ownURL is the URL that was asked for, without our parameters and with what no URL may
// hold encoded.
func ownURL(info *core.RequestInfo) string {
	path, query, has := strings.Cut(info.URI, "?")
	if has {
		var kept []string
		for piece := range strings.SplitSeq(query, "&") {
			if key, _, _ := strings.Cut(piece, "="); key != callbackParam && key != logoutParam {
				kept = append(kept, piece)
			}
		}
		if len(kept) > 0 {
			path += "?" + strings.Join(kept, "&")
		}
	}
	return info.Origin() + escapeURI(path)
}

// escapeURI encodes the bytes that a Location header or a browser would change.
func escapeURI(uri string) string {
	const hex = "0123456789ABCDEF"
	bad := func(c byte) bool { return c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>\^`+"`{|}#", c) >= 0 }
	i := 0
	for i < len(uri) && !bad(uri[i]) {
		i++
	}
	if i == len(uri) {
		return uri
	}
	var b strings.Builder
	for i := 0; i < len(uri); i++ {
		if c := uri[i]; bad(c) {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// callback ends a login: the state must be one that this browser began with, the code is
// used up, and the browser goes to the URL it first asked for. A state that is
// not its own (another browser's, another application's, one that has ended) is never
// answered by another try: with cookies switched off that would go round for ever.
func (o *Outpost) callback(ctx context.Context, q Request, tg *target, who *login, a answer) (Decision, error) {
	clean := q.Info.Origin() + escapeURI(a.clean)
	if _, ours := endpoint(q.Info.URI); ours {
		clean = q.Info.Origin() + "/"
	}
	p, name, ok := o.pending(q.Info, tg, q.HTTP.Header, a.state)
	if !ok {
		if who != nil { // the Back button, or a reload: that login has ended long ago
			return Decision{Status: http.StatusFound, Redirect: clean}, nil
		}
		return refuse(http.StatusBadRequest, "unknown_login", "This login cannot be finished here",
			"It was begun in another browser or more than 30 minutes ago, or this browser keeps no cookies. Nothing has happened; open the page again.").
			at(clean, "Open the page again"), nil
	}
	secure := q.Info.Scheme == "https"
	drop := newCookie(name, "", secure)
	failed := func(d Decision) (Decision, error) {
		d.Cookies = []*http.Cookie{drop}
		return d.at(p.Back, "Try again"), nil
	}
	if a.err == "access_denied" {
		return failed(refuse(http.StatusForbidden, "access_denied", "You may not open "+tg.app.Name,
			"The login page refused, or you did. If you should have access, ask an administrator of "+q.Info.Look(ctx).Title+"."))
	}
	if a.err == "temporarily_unavailable" { // RFC 6749 §4.1.2.1
		return failed(refuse(http.StatusServiceUnavailable, "unavailable", "Not available right now", "The login page could not answer. Try again in a few seconds."))
	}
	if a.err != "" {
		return failed(refuse(http.StatusBadRequest, "login_failed", "The login did not end well", "The login page answered with an error. Try again."))
	}
	parent, _, err := o.Issuer.Redeem(ctx, q.Info.Tenant.ID, tg.clientID, callbackURL(p.Back), a.code, p)
	switch {
	case errors.Is(err, core.ErrNotFound), errors.Is(err, core.ErrConsumed), errors.Is(err, core.ErrDenied), errors.Is(err, core.ErrStale):
		o.Log.InfoContext(ctx, "redeem code", "error", err, "application", tg.app.ID, "request", q.Info.ID)
		return failed(refuse(http.StatusBadRequest, "login_failed", "This login was used before, or took too long", "Nothing has happened; try again."))
	case err != nil:
		return Decision{}, fmt.Errorf("redeem code: %w", err)
	}
	done := Decision{Status: http.StatusFound, Redirect: p.Back, Cookies: []*http.Cookie{drop}}
	if who != nil && who.session.Parent == parent {
		return done, nil // another tab was first
	}
	_, key, err := o.Sessions.StartChild(ctx, q.Info.Tenant.ID, parent, tg.app.ID)
	if errors.Is(err, core.ErrNotFound) {
		return failed(refuse(http.StatusBadRequest, "login_failed", "You were logged out meanwhile", "Try again to log in."))
	}
	if err != nil {
		return Decision{}, fmt.Errorf("start session: %w", err)
	}
	if who != nil {
		if err := o.Sessions.EndSession(ctx, q.Info.Tenant.ID, who.session.ID); err != nil {
			return Decision{}, fmt.Errorf("end the session before: %w", err)
		}
	}
	done.Cookies = append(done.Cookies, newCookie(tg.cookieFor(q.Info), key, secure))
	return done, nil
}
