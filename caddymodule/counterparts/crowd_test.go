package counterparts_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// crowd is people and clients that do not stop: they open guarded pages, log in, trade codes
// and refresh tokens. It counts what succeeded, and a failure is the test's.
type crowd struct {
	t   testing.TB
	p   *postern
	app string // the guarded application's origin
	op  *application
	// ending: from when on a connection that is refused or cut is no failure, but the end.
	ending atomic.Bool

	stop                            chan struct{}
	wg                              sync.WaitGroup
	pages, logins, codes, refreshes atomic.Int64
	cut                             atomic.Int64 // connections that ended before a byte of an answer
	mu                              sync.Mutex
	people                          []*browser // logged in
	refresh                         []string   // each client's newest refresh token
	unused                          []string   // codes that were issued and not traded
}

// callback is where codes are sent; nobody follows.
const callback = "http://127.0.0.1:1/callback"

// newCrowd makes a client with refresh tokens, and its people.
func newCrowd(t testing.TB, p *postern, app string) *crowd {
	t.Helper()
	c := &crowd{t: t, p: p, app: app, stop: make(chan struct{})}
	p.addUser(t, "alice")
	c.op = p.seedApplication(t, "crowd", callback, `return {}`)
	provider := p.api(t, http.MethodGet, fmt.Sprintf("/providers/oauth2/%d/", c.op.provider), "", http.StatusOK)
	offline := p.first(t, "/propertymappings/provider/scope/?managed="+url.QueryEscape("goauthentik.io/providers/oauth2/scope-offline_access"))["pk"]
	list := append(provider["property_mappings"].([]any), offline)
	p.api(t, http.MethodPatch, fmt.Sprintf("/providers/oauth2/%d/", c.op.provider), jsonText(t, map[string]any{"property_mappings": list}), http.StatusOK)
	return c
}

// person logs in to the guarded application.
func (c *crowd) person() *browser {
	c.t.Helper()
	b := newBrowser(c.t)
	b.client.Transport = &patient{b.client.Transport.(*http.Transport), c}
	if page := b.login(c.app+"/", "alice"); page.body != "for alice" {
		c.t.Fatalf("logged in, the page is %d %q", page.status, tail(page.body, 500))
	}
	c.mu.Lock()
	c.people = append(c.people, b)
	c.mu.Unlock()
	return b
}

// over reports whether an error is the listener's end, which is expected.
func (c *crowd) over(err error) bool {
	return c.ending.Load() && (errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF))
}

// each runs f again and again until the crowd stops or the server is gone.
func (c *crowd) each(f func() error) {
	c.wg.Go(func() {
		for {
			select {
			case <-c.stop:
				return
			default:
			}
			if err := f(); err != nil {
				if !c.over(err) {
					c.t.Error(err)
				}
				return
			}
		}
	})
}

// oneShot is a client that uses a connection once: a POST that meets the end of an idle connection
// is not sent again by itself (RFC 9110 §9.2.2), whoever the server is.
func (c *crowd) oneShot(b *browser) *http.Client {
	return &http.Client{Jar: b.client.Jar, Transport: c.fresh(b), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// transport is the browser's own, without anybody's patience.
func (b *browser) transport() *http.Transport {
	if p, ok := b.client.Transport.(*patient); ok {
		return p.transport
	}
	return b.client.Transport.(*http.Transport)
}

func (c *crowd) fresh(b *browser) http.RoundTripper {
	transport := b.transport().Clone()
	transport.DisableKeepAlives = true
	return &patient{transport, c}
}

// patient sends a request again whose new connection ended before a byte of an answer. Caddy opens
// its sockets anew at a reload, and what waits in the queue of the old one is lost: plain Caddy does the
// same (20 of 3000 connections during 200 reloads). Where the server had worked on the
// request, the second one finds it out: its code is spent.
type patient struct {
	transport *http.Transport
	crowd     *crowd
}

func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.transport.RoundTrip(r)
	for try := 0; try < 10 && err != nil && !p.crowd.ending.Load() && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)); try++ {
		p.crowd.cut.Add(1)
		// On a busy machine the old socket takes a while to go, and the next connection may
		// be put into its queue again.
		time.Sleep(time.Duration(try) * 20 * time.Millisecond)
		if r.GetBody != nil {
			body, berr := r.GetBody()
			if berr != nil {
				return nil, berr
			}
			r = r.Clone(r.Context())
			r.Body = body
		} else if r.Body != nil {
			return nil, err
		}
		resp, err = p.transport.RoundTrip(r)
	}
	return resp, err
}

// browse opens guarded pages.
func (c *crowd) browse(b *browser) {
	c.each(func() error {
		resp, err := b.client.Get(c.app + "/fast")
		if err != nil {
			return fmt.Errorf("page %d: %w", c.pages.Load(), err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			return fmt.Errorf("page %d: %w", c.pages.Load(), err)
		}
		if resp.StatusCode != http.StatusOK || string(got) != "for alice" {
			return fmt.Errorf("page %d: %s %q", c.pages.Load(), resp.Status, tail(string(got), 300))
		}
		c.pages.Add(1)
		return nil
	})
}

// code gets a code for a person who is logged in, without a page.
func (c *crowd) code(client *http.Client) (string, error) {
	q := url.Values{"response_type": {"code"}, "client_id": {c.op.clientID}, "redirect_uri": {callback},
		"scope": {"openid offline_access"}, "state": {"s"}}
	resp, err := client.Get(c.p.url() + "/application/o/authorize/?" + q.Encode())
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), callback) || to.Query().Get("code") == "" {
		return "", fmt.Errorf("no code: %s to %s %s", resp.Status, to, tail(string(body), 300))
	}
	return to.Query().Get("code"), nil
}

// token asks the token endpoint.
func (c *crowd) token(client *http.Client, form url.Values) (*oauth2.Token, error) {
	form.Set("client_id", c.op.clientID)
	form.Set("client_secret", c.op.secret)
	resp, err := client.PostForm(c.p.url()+"/application/o/token/", form)
	if err != nil {
		return nil, err
	}
	return readToken(resp)
}

func readToken(resp *http.Response) (*oauth2.Token, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var tok oauth2.Token
	if err := json.Unmarshal(body, &tok); err != nil || resp.StatusCode != http.StatusOK || tok.AccessToken == "" || tok.RefreshToken == "" {
		return nil, fmt.Errorf("no tokens: %s %s", resp.Status, tail(string(body), 300))
	}
	return &tok, nil
}

func traded(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}}
}

// trade gets codes and trades every other one.
func (c *crowd) trade(b *browser) {
	client := c.oneShot(b)
	c.each(func() error {
		kept, err := c.code(client)
		if err != nil {
			return fmt.Errorf("code %d: %w", c.codes.Load(), err)
		}
		c.mu.Lock()
		c.unused = append(c.unused, kept)
		c.mu.Unlock()
		code, err := c.code(client)
		if err != nil {
			return fmt.Errorf("code %d: %w", c.codes.Load(), err)
		}
		tok, err := c.token(client, traded(code))
		if err != nil {
			return fmt.Errorf("code %d: %w", c.codes.Load(), err)
		}
		c.codes.Add(1)
		c.mu.Lock()
		c.refresh = append(c.refresh, tok.RefreshToken)
		c.mu.Unlock()
		return nil
	})
}

// rotate trades a refresh token for the next, over and over.
func (c *crowd) rotate(b *browser) {
	c.t.Helper()
	client := c.oneShot(b)
	code, err := c.code(client)
	if err != nil {
		c.t.Fatal(err)
	}
	tok, err := c.token(client, traded(code))
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	mine := len(c.refresh)
	c.refresh = append(c.refresh, tok.RefreshToken)
	c.mu.Unlock()
	c.each(func() error {
		c.mu.Lock()
		old := c.refresh[mine]
		c.mu.Unlock()
		tok, err := c.token(client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old}})
		if err != nil {
			return fmt.Errorf("refresh %d: %w", c.refreshes.Load(), err)
		}
		c.refreshes.Add(1)
		c.mu.Lock()
		c.refresh[mine] = tok.RefreshToken
		c.mu.Unlock()
		return nil
	})
}

// enter logs new people in, one after the other.
func (c *crowd) enter() {
	c.each(func() error {
		b := newBrowser(quiet{c.t})
		b.client.Transport = c.fresh(b)
		var page *page
		err := try(func() { page = b.login(c.app+"/", "alice") })
		if err == nil && page.body != "for alice" {
			err = fmt.Errorf("%s: %d %s", page.url, page.status, tail(page.body, 300))
		}
		if err != nil {
			return fmt.Errorf("login %d: %w", c.logins.Load(), err)
		}
		c.logins.Add(1)
		c.mu.Lock()
		c.people = append(c.people, b)
		c.mu.Unlock()
		return nil
	})
}

// quiet turns a browser's Fatal into an error: outside the test's goroutine it could not end the test.
type quiet struct{ testing.TB }

type failure struct{ err error }

func (quiet) Fatal(args ...any) {
	for _, a := range args {
		if err, ok := a.(error); ok {
			panic(failure{err})
		}
	}
	panic(failure{errors.New(fmt.Sprint(args...))})
}

func (quiet) Fatalf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

func try(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			err = f.err
		}
	}()
	f()
	return nil
}

// inside checks that everybody who logged in still is, and every token that was issued works once:
// nothing was handed out that is not stored.
func (c *crowd) inside() {
	c.t.Helper()
	for i, b := range c.people {
		b.t = c.t
		if page := b.open(c.app + "/fast"); page.status != http.StatusOK || page.body != "for alice" {
			c.t.Errorf("person %d of %d was logged out: %d at %s", i, len(c.people), page.status, page.url)
		}
	}
	client := c.oneShot(c.people[0])
	for i, token := range c.refresh {
		if _, err := c.token(client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}); err != nil {
			c.t.Errorf("refresh token %d of %d: %v", i, len(c.refresh), err)
		}
	}
	for i, code := range c.unused[max(0, len(c.unused)-5):] { // those of before may have expired
		if _, err := c.token(client, traded(code)); err != nil {
			c.t.Errorf("code %d: %v", i, err)
		}
		if _, err := c.token(client, traded(code)); err == nil {
			c.t.Errorf("code %d was taken twice", i)
		}
	}
}

// end stops the crowd.
func (c *crowd) end() {
	close(c.stop)
	c.wg.Wait()
}

func (c *crowd) tell() string {
	return fmt.Sprintf("%d pages, %d logins, %d codes, %d refreshes; %d new connections were cut and tried again",
		c.pages.Load(), c.logins.Load(), c.codes.Load(), c.refreshes.Load(), c.cut.Load())
}

type answer struct {
	status int
	text   string
}

// tryCode asks for a code and shows the answer.
func (c *crowd) tryCode(client *http.Client) answer {
	q := url.Values{"response_type": {"code"}, "client_id": {c.op.clientID}, "redirect_uri": {callback}, "scope": {"openid offline_access"}, "state": {"s"}}
	resp, err := client.Get(c.p.url() + "/application/o/authorize/?" + q.Encode())
	if err != nil {
		return answer{0, err.Error()}
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header.Get("Location") + " " + string(body)}
}
