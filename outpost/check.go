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

// Request is what a decision rests on.
type Request struct {
	// HTTP gives method and headers. Its URL and Host are not looked at: they
	// may have been rewritten.
	HTTP *http.Request
	// Info is what the edge states: tenant, scheme, host, address, and the
	// request target as the client sent it.
	Info  *core.RequestInfo
	Guard *Guard
}

// Decision is the answer. Either Allow is set, or Status with Redirect or Refusal.
type Decision struct {
	Allow bool
	// Identity is who may go on; nil on a path that needs no login and has none.
	Identity *Identity
	Status   int
	Redirect string // an absolute URL
	Refusal  *Refusal
	Cookies  []*http.Cookie // to set, whatever the answer is
	Header   http.Header    // beside, of a refusal
	// unsent: the client's Authorization header is not for the application: it was for the
	// guard, or the guard sends one of its own.
	unsent bool

	// still reports whether the same person may go on with the same application. Set
	// on an allowed request that may stay open for long.
	still func(context.Context) (bool, error)
}

// Refusal is what a person, or a program, is told.
type Refusal struct {
	Code    string // for programs, such as "login_required"
	Title   string
	Message string   // in plain words: what happened and what to do next
	Notice  []string // what the application's policies have to say
	ID      string   // what to tell an administrator; empty: nothing
	Link    string   // where to go on; empty: nowhere
	Button  string   // text of the link
	Post    bool     // the button is a form that posts to Link
}

// login is who an application's cookie stands for.
type login struct {
	session    *core.Session // nil: by a credential
	person     *person
	credential *credential
}

// Check decides about one request. An error means that no decision could be made:
// the caller answers 503 and does not let the request through.
func (o *Outpost) Check(ctx context.Context, q Request) (Decision, error) {
	if !strings.HasPrefix(q.Info.URI, "/") {
		return refuse(http.StatusBadRequest, "bad_request", "This address cannot be served", "The request names no path. Open the page by its address again."), nil
	}
	s, tg, err := o.locate(ctx, q.Info, q.Guard)
	if errors.Is(err, errAmbiguous) {
		return refuse(http.StatusBadRequest, "bad_request", "This address cannot be served", "Its path can be read in more than one way (encoded slashes or dots, or empty segments), and which application it belongs to depends on that. Use the plain form of the path."), nil
	}
	if err != nil {
		return Decision{}, err
	}
	name, ours := endpoint(q.Info.URI)
	if ours && name == "" {
		return refuse(http.StatusNotFound, "not_found", "Not found", "There is nothing at this address."), nil
	}
	if name == "ping" {
		return Decision{Status: http.StatusNoContent}, nil
	}

	replaced := tg.proxy != nil && tg.proxy.BasicAuth
	if err := o.fresh(); err != nil {
		// What the configuration says is not from memory.
		if !ours && skips(q.Guard.SkipPath, q.Info) {
			return Decision{Allow: true, unsent: replaced}, nil
		}
		return Decision{}, err
	}
	skipped := !ours && skips(tg.skip, q.Info)
	who, stale, err := o.login(ctx, q, s, tg)
	if err != nil {
		if skipped { // it may pass without anybody's identity
			o.Log.ErrorContext(ctx, "find session on a path that needs no login", "error", err, "request", q.Info.ID)
			return Decision{Allow: true, unsent: replaced}, nil
		}
		return Decision{}, err
	}
	switch back, isBack := comesBack(q.Info.URI); {
	case name == "sign_out" || !ours && asksLogout(q.Info.URI):
		return o.signOut(ctx, q, tg, who)
	case isBack && q.HTTP.Method == http.MethodGet:
		return o.callback(ctx, q, tg, who, back)
	case name == "callback":
		return refuse(http.StatusBadRequest, "bad_request", "There is no login to finish here", "This address takes the answer of a login, and the request holds none.").
			at(q.Info.Origin()+"/", "Open the application"), nil
	case name == "start":
		return o.start(ctx, q, tg, who)
	}
	if who == nil && skipped {
		return Decision{Allow: true, unsent: replaced}, nil
	}
	if who == nil {
		var d *Decision
		if who, d, err = o.headerLogin(ctx, q, s, tg); err != nil {
			return Decision{}, err
		}
		if d != nil {
			return *d, nil
		}
	}
	if who == nil {
		return o.challenge(ctx, q, tg, stale)
	}
	id, decision, why, err := o.verdict(ctx, q.Info, tg, who.person)
	switch {
	case err != nil && skipped:
		o.Log.ErrorContext(ctx, "decide on a path that needs no login", "error", err, "request", q.Info.ID)
		return Decision{Allow: true, unsent: replaced}, nil
	case err != nil:
		return Decision{}, err
	case id == nil && skipped:
		return Decision{Allow: true, unsent: replaced}, nil
	case id == nil:
		return o.refused(ctx, q.Info, tg, who.person.user, decision, why), nil
	}
	if upgrades(q.HTTP) && foreignOrigin(q.HTTP, q.Info) {
		return refuse(http.StatusForbidden, "foreign_origin", "Refused", "A page of another site asked for this connection."), nil
	}
	d := Decision{Allow: true, Identity: id, unsent: replaced || who.credential != nil}
	if staysOpen(q.HTTP) {
		d.still = o.still(q, s, tg, who)
	}
	return d, nil
}

// fresh reports whether memory may be believed.
func (o *Outpost) fresh() error {
	if o.Fresh == nil {
		return nil
	}
	return o.Fresh()
}

// login finds whom the request's cookie stands for. None, or one that is no longer
// alive, is nil; stale then says that the browser still sends one. An error
// means that a store could not tell.
func (o *Outpost) login(ctx context.Context, q Request, s *tenantState, tg *target) (who *login, stale bool, err error) {
	tried, ours := 0, tg.cookieFor(q.Info)
	eachCookie(q.HTTP.Header, func(name, value string) bool {
		if name != ours {
			return true
		}
		stale = true
		if len(value) < 16 || len(value) > 128 {
			return true
		}
		if tried++; tried > maxSameName {
			return false
		}
		sess, e := o.Sessions.Child(ctx, q.Info.Tenant.ID, value, tg.app.ID)
		if errors.Is(e, core.ErrNotFound) {
			return true
		}
		if e != nil {
			err = fmt.Errorf("find session: %w", e)
			return false
		}
		p, e := o.personOf(ctx, q.Info.Tenant.ID, s, sess)
		if errors.Is(e, core.ErrNotFound) {
			return true // the user is gone
		}
		if e != nil {
			err = e
			return false
		}
		who = &login{session: sess, person: p}
		return false
	})
	if err != nil {
		return nil, false, err
	}
	return who, stale && who == nil, nil
}

// challenge sends a person to the login page, and tells a program that it needs
// one. What was asked for does not happen: a form that was posted is not posted again,
// and its page opens instead.
func (o *Outpost) challenge(ctx context.Context, q Request, tg *target, stale bool) (Decision, error) {
	var d Decision
	if interactive(q.HTTP) {
		var err error
		if d, err = o.begin(ctx, q, tg, ownURL(q.Info)); err != nil {
			return Decision{}, err
		}
	} else {
		back := q.Info.Origin() + "/"
		if ref, err := url.Parse(q.HTTP.Header.Get("Referer")); err == nil && sameOrigin(ref, q.Info) {
			back = q.Info.Origin() + ref.RequestURI()
		}
		d = refuse(http.StatusUnauthorized, "login_required", "Log in first", "There is no live login. Open the link to log in, then try again.").
			at(q.Info.Origin()+endpointPrefix+"/start?rd="+url.QueryEscape(back), "Log in")
	}
	if stale {
		d.Cookies = append(d.Cookies, newCookie(tg.cookieFor(q.Info), "", q.Info.Scheme == "https"))
	}
	return d, nil
}

// begin starts a login that ends at back, a URL of this origin.
func (o *Outpost) begin(ctx context.Context, q Request, tg *target, back string) (Decision, error) {
	if len(back) > maxBack {
		if back, _, _ = strings.Cut(back, "?"); len(back) > maxBack {
			back = q.Info.Origin() + "/"
		}
	}
	to, p, err := o.Issuer.Begin(ctx, tg.app, tg.clientID, callbackURL(back))
	if err != nil {
		return Decision{}, fmt.Errorf("begin login: %w", err)
	}
	p.Back, p.Expires = back, o.Now().Add(pendingLife)
	cookies, err := o.pendingCookies(q.Info, tg, q.HTTP.Header, &p)
	if err != nil {
		return Decision{}, err
	}
	return Decision{Status: http.StatusFound, Redirect: to, Cookies: cookies}, nil
}

func refuse(status int, code, title, message string) Decision {
	return Decision{Status: status, Refusal: &Refusal{Code: code, Title: title, Message: message}}
}

func (d Decision) at(link, button string) Decision {
	d.Refusal.Link, d.Refusal.Button = link, button
	return d
}
