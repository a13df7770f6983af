package oidc_test

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
)

// login is core/login as this package sees it: its pages are addresses that the
// test's browser acts on, and what a person did there is kept here.
type login struct {
	w       *world
	mu      sync.Mutex
	answers map[string]bool // consent and logout, by request
	refused []refusal
	denied  []core.Denial
	needs   []core.Need
}

type refusal struct {
	status         int
	title, message string
}

func (l *login) session(r *http.Request) *core.Session {
	cookie, err := r.Cookie("session")
	if err != nil {
		return nil
	}
	s, err := l.w.db.FindSession(r.Context(), core.Request(r.Context()).Tenant.ID, core.Hash(cookie.Value))
	if err != nil || !s.Alive(l.w.clock.Now()) {
		return nil
	}
	return s
}

func (l *login) page(rw http.ResponseWriter, path string, query ...string) error {
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	rw.Header().Set("Location", "/page/"+path+"?"+values.Encode())
	rw.WriteHeader(http.StatusSeeOther)
	return core.ErrAnswered
}

func (l *login) Require(rw http.ResponseWriter, r *http.Request, need core.Need) (*core.Session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.needs = append(l.needs, need)
	if !strings.HasPrefix(need.ReturnTo, "/application/o/") {
		return nil, fmt.Errorf("ReturnTo is %q", need.ReturnTo)
	}
	s := l.session(r)
	if s == nil || s.AuthTime.Before(need.LoggedInSince) || need.MaxAge > 0 && l.w.clock.Now().Sub(s.AuthTime) > need.MaxAge {
		if need.Silent {
			return nil, core.ErrLoginRequired
		}
		return nil, l.page(rw, "login", "next", need.ReturnTo, "hint", need.LoginHint, "application", need.Application)
	}
	if need.Consent == nil {
		return s, nil
	}
	switch yes, answered := l.answers[need.Consent.Request]; {
	case answered && yes:
		return s, nil
	case answered:
		return nil, core.ErrDenied
	case need.Silent:
		return nil, core.ErrConsentRequired
	}
	return nil, l.page(rw, "consent", "next", need.ReturnTo, "request", need.Consent.Request)
}

func (l *login) Logout(rw http.ResponseWriter, r *http.Request, need core.LogoutNeed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.session(r)
	if s == nil {
		return nil
	}
	if !need.Confirmed {
		yes, answered := l.answers[need.Request]
		if !answered {
			return l.page(rw, "logout", "next", need.ReturnTo, "request", need.Request)
		}
		if !yes {
			return core.ErrDenied
		}
	}
	if need.EndLogin {
		_, err := l.w.db.DeleteSession(r.Context(), core.Request(r.Context()).Tenant.ID, s.ID)
		return err
	}
	return nil
}

func (l *login) LoggedOut(rw http.ResponseWriter, _ *http.Request, application, _ string, endLogin bool) {
	fmt.Fprintf(rw, "logged out of %s, login ended: %t", application, endLogin)
}

func (l *login) Deny(rw http.ResponseWriter, r *http.Request, d core.Denial) {
	l.mu.Lock()
	l.denied = append(l.denied, d)
	l.mu.Unlock()
	l.Refuse(rw, r, http.StatusForbidden, "denied "+d.Application, d.UserName+" "+d.Decision)
}

func (l *login) Refuse(rw http.ResponseWriter, _ *http.Request, status int, title, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = append(l.refused, refusal{status, title, message})
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.WriteHeader(status)
	fmt.Fprint(rw, html.EscapeString(title+"\n"+message))
}

// browser keeps cookies, and acts on the pages of login like a person.
type browser struct {
	w      *world
	user   *core.User // logs in as
	agree  bool       // to consent and logout
	client *http.Client
	pages  []string // that were shown, by kind
}

func (w *world) browser(user *core.User) *browser {
	jar, err := cookiejar.New(nil)
	check(w.t, err)
	return &browser{w: w, user: user, agree: true, client: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// signIn makes a session without a page.
func (b *browser) signIn() *core.Session {
	b.w.t.Helper()
	now := b.w.clock.Now()
	s := &core.Session{
		ID: core.SessionID(core.RandomToken(16)), User: b.user.ID, AuthTime: now, Factors: []core.Factor{{Method: "pwd", At: now}},
		Created: now, LastSeen: now, Expires: now.Add(24 * time.Hour),
	}
	key := core.RandomToken(32)
	check(b.w.t, b.w.db.SaveSession(context.Background(), tenantID, core.Hash(key), s))
	u, err := url.Parse(b.w.server.URL)
	check(b.w.t, err)
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "session", Value: key, Path: "/"}})
	return s
}

// answer is a response whose body was read.
type answer struct {
	*http.Response
	body string
}

func (b *browser) do(r *http.Request) answer {
	b.w.t.Helper()
	resp, err := b.client.Do(r)
	check(b.w.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(b.w.t, err)
	return answer{resp, string(body)}
}

// open goes to a path of the server and follows redirects, acting on pages, until
// it is led to another host or gets an answer that is not a redirect.
func (b *browser) open(path string) answer {
	b.w.t.Helper()
	for range 12 {
		r, err := http.NewRequest(http.MethodGet, b.w.server.URL+path, nil)
		check(b.w.t, err)
		a := b.do(r)
		next, on := b.next(a)
		if !on {
			return a
		}
		path = next
	}
	b.w.t.Fatal("too many redirects")
	return answer{}
}

// next is where the browser goes on to on this host.
func (b *browser) next(a answer) (string, bool) {
	b.w.t.Helper()
	location := strings.TrimPrefix(a.Header.Get("Location"), b.w.server.URL)
	if a.StatusCode/100 != 3 || !strings.HasPrefix(location, "/") {
		return "", false
	}
	u, err := url.Parse(location)
	check(b.w.t, err)
	kind, isPage := strings.CutPrefix(u.Path, "/page/")
	if !isPage {
		return location, true
	}
	b.pages = append(b.pages, kind)
	b.w.clock.Add(5 * time.Second) // a person takes a while
	if kind == "login" {
		if b.user == nil {
			return "", false
		}
		b.signIn()
	} else {
		b.w.login.mu.Lock()
		b.w.login.answers[u.Query().Get("request")] = b.agree
		b.w.login.mu.Unlock()
	}
	return u.Query().Get("next"), true
}
