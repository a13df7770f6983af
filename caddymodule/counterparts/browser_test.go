package counterparts_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// browser is a person without JavaScript: it follows redirects, keeps cookies,
// fills in the first form of a page and presses its first button.
type browser struct {
	t      testing.TB
	client *http.Client
	// trail holds every URL visited since the last open.
	trail []string
	// stopAt ends a walk: the URL prefix of a client's redirect URI.
	stopAt string
}

// page is what the browser shows.
type page struct {
	status int
	url    *url.URL
	header http.Header
	body   string
	forms  []form
}

type form struct {
	method, action string
	values         url.Values
	text, password string // names of the first such inputs
	pressed        bool   // the first button has been found
}

func newBrowser(t testing.TB) *browser {
	jar, _ := cookiejar.New(nil)
	b := &browser{t: t}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = dialLocalhost
	b.client = &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		b.trail = append(b.trail, req.URL.String())
		if b.stopAt != "" && strings.HasPrefix(req.URL.String(), b.stopAt) || len(via) > 20 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

// dialLocalhost knows that *.localhost is this machine, as browsers do; Go asks the system's resolver.
func dialLocalhost(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, _ := net.SplitHostPort(addr)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// open goes to an address.
func (b *browser) open(address string) *page {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

func (b *browser) do(req *http.Request) *page {
	b.t.Helper()
	b.trail = nil
	req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	req.Header.Set("Sec-Fetch-Dest", "document")
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	p := &page{status: resp.StatusCode, url: resp.Request.URL, header: resp.Header, body: string(body)}
	if location := resp.Header.Get("Location"); location != "" && resp.StatusCode/100 == 3 {
		if p.url, err = resp.Request.URL.Parse(location); err != nil {
			b.t.Fatal(err)
		}
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		p.forms = forms(b.t, p.body)
	}
	return p
}

// submit fills in the first form and presses its first button.
func (b *browser) submit(p *page, name, password string) *page {
	b.t.Helper()
	if len(p.forms) == 0 {
		b.t.Fatalf("no form on %s (%d):\n%s", p.url, p.status, tail(p.body, 3000))
	}
	f := p.forms[0]
	if f.text != "" && name != "" {
		f.values.Set(f.text, name)
	}
	if f.password != "" {
		f.values.Set(f.password, password)
	}
	action, err := p.url.Parse(f.action)
	if err != nil {
		b.t.Fatal(err)
	}
	req, _ := http.NewRequest(http.MethodPost, action.String(), strings.NewReader(f.values.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", p.url.Scheme+"://"+p.url.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(req)
}

// login opens an address, logs in on the page that it leads to, and returns
// where that ends.
func (b *browser) login(address, user string) *page {
	b.t.Helper()
	p := b.open(address)
	for range 3 { // name and password may be asked for on one page or on two
		if len(p.forms) == 0 || p.forms[0].password == "" && p.forms[0].text == "" {
			return p
		}
		p = b.submit(p, user, password(user))
	}
	return p
}

func forms(t testing.TB, body string) []form {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var out []form
	var walk func(n *html.Node, f *form)
	walk = func(n *html.Node, f *form) {
		if n.Type == html.ElementNode {
			switch n.Data {
			case "form":
				out = append(out, form{method: attr(n, "method"), action: attr(n, "action"), values: url.Values{}})
				f = &out[len(out)-1]
			case "input", "button", "select", "textarea":
				if f != nil {
					f.add(n)
				}
			}
		}
		index := len(out) - 1
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			if f != nil {
				f = &out[index] // the slice may have moved
			}
			walk(c, f)
		}
	}
	walk(root, nil)
	return out
}

func (f *form) add(n *html.Node) {
	name, kind := attr(n, "name"), attr(n, "type")
	switch {
	case n.Data == "button" || kind == "submit":
		if name != "" && !f.pressed {
			f.values.Set(name, attr(n, "value"))
		}
		f.pressed = true
	case kind == "hidden":
		f.values.Add(name, attr(n, "value"))
	case kind == "password":
		if f.password == "" {
			f.password = name
		}
	case kind == "checkbox":
	default:
		if f.text == "" {
			f.text = name
			f.values.Set(name, attr(n, "value"))
		}
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}
