package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/net/html"
)

// page is what a browser shows.
type page struct {
	url    string
	status int
	header http.Header
	body   string
	steps  []string // each redirect on the way, "302 URL"
}

type request struct {
	jar, method, url, body string
	header                 http.Header
	follow                 bool
	quic                   bool // by HTTP/3
}

// client is a browser without script: it keeps cookies, and knows, as browsers do, that
// *.localhost is this machine.
func (s *script) client(ts *testscript.TestScript, jar string, steps *[]string, follow bool) *http.Client {
	if s.jars[jar] == nil {
		j, err := cookiejar.New(nil)
		ts.Check(err)
		s.jars[jar] = j
	}
	c := &http.Client{Jar: s.jars[jar], Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // Caddy's own authority, new for each script
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}}
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if !follow {
			return http.ErrUseLastResponse
		}
		*steps = append(*steps, r.URL.String())
		if len(via) > 20 {
			return fmt.Errorf("it goes round in circles: %s", strings.Join(*steps, "\n"))
		}
		return nil
	}
	return c
}

// overQUIC speaks HTTP/3 and nothing else to this machine, whatever the host's name is.
func overQUIC() *http3.Transport {
	return &http3.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // as in client
		Dial: func(ctx context.Context, addr string, t *tls.Config, q *quic.Config) (*quic.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return quic.DialAddrEarly(ctx, "127.0.0.1:"+port, t, q)
		},
	}
}

func (s *script) open(ts *testscript.TestScript, q request) {
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	if q.method == "" {
		q.method = http.MethodGet
	}
	r, err := http.NewRequest(q.method, q.url, body)
	ts.Check(err)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if q.method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
	}
	for k, v := range q.header {
		r.Header[k] = v
	}
	if h := r.Header.Get("Host"); h != "" {
		r.Host = h
		r.Header.Del("Host")
	}
	var steps []string
	client := s.client(ts, q.jar, &steps, q.follow)
	if q.quic {
		transport := overQUIC()
		defer transport.Close()
		client.Transport = transport
	}
	res, err := client.Do(r)
	ts.Check(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	ts.Check(err)
	s.page = &page{url: res.Request.URL.String(), status: res.StatusCode, header: res.Header, body: string(text), steps: steps}
}

// browse [-jar name] [-X method] [-H 'Name: value']… [-d body] [-nofollow] [-status n] <URL>
// writes status, URL, headers and page to standard output. Without -status, anything below 400 is
// right.
func cmdBrowse(ts *testscript.TestScript, neg bool, args []string) {
	q := request{jar: "default", follow: true, header: http.Header{}}
	status := ""
	for len(args) > 1 {
		flag := args[0]
		if flag == "-nofollow" || flag == "-http3" {
			q.follow = q.follow && flag != "-nofollow"
			q.quic = q.quic || flag == "-http3"
			args = args[1:]
			continue
		}
		value := args[1]
		args = args[2:]
		switch flag {
		case "-jar":
			q.jar = value
		case "-X":
			q.method = value
		case "-H":
			k, v, _ := strings.Cut(value, ":")
			q.header[k] = append(q.header[k], strings.TrimSpace(v))
		case "-d":
			q.body, q.method = value, http.MethodPost
		case "-status":
			status = value
		default:
			ts.Fatalf("unknown flag %s", flag)
		}
	}
	q.url = args[0]
	s := of(ts)
	s.open(ts, q)
	s.page.print(ts)
	ok := s.page.status < 400
	if status != "" {
		ok = fmt.Sprint(s.page.status) == status
	}
	if ok == neg {
		ts.Fatalf("%s: status %d\n%s", q.url, s.page.status, s.page.body)
	}
}

func (p *page) print(ts *testscript.TestScript) {
	fmt.Fprintf(ts.Stdout(), "%d %s\n", p.status, p.url)
	for k, vs := range p.header {
		for _, v := range vs {
			fmt.Fprintf(ts.Stdout(), "%s: %s\n", k, v)
		}
	}
	fmt.Fprintf(ts.Stdout(), "\n%s\n", p.body)
}

// login [-jar name] <user> <password> <URL> opens a URL, expects the login form, fills it in, and follows
// until a page comes.
func cmdLogin(ts *testscript.TestScript, neg bool, args []string) {
	jar := "default"
	if args[0] == "-jar" {
		jar, args = args[1], args[2:]
	}
	s := of(ts)
	s.open(ts, request{jar: jar, url: args[2], follow: true})
	s.fillLogin(ts, jar, args[0], args[1])
	s.page.print(ts)
	if inside := s.page.status < 400 && !strings.Contains(s.page.url, "/if/flow/"); inside == neg {
		ts.Fatalf("after the login: %d at %s\n%s", s.page.status, s.page.url, s.page.body)
	}
}

// fill [-jar name] <user> <password> sends the login form that is open.
func cmdFill(ts *testscript.TestScript, _ bool, args []string) {
	jar := "default"
	if args[0] == "-jar" {
		jar, args = args[1], args[2:]
	}
	s := of(ts)
	s.fillLogin(ts, jar, args[0], args[1])
	s.page.print(ts)
}

func (s *script) fillLogin(ts *testscript.TestScript, jar, user, password string) {
	for range 3 { // name and password may be two steps
		f := s.page.form(ts)
		if f == nil {
			return
		}
		asked := false
		for i := range f.fields {
			switch f.fields[i].kind {
			case "password":
				f.fields[i].value, asked = password, true
			case "text", "email":
				f.fields[i].value, asked = user, true
			}
		}
		if !asked {
			return
		}
		s.submit(ts, jar, f)
		if s.page.status >= 400 {
			return
		}
	}
}

func cmdForget(ts *testscript.TestScript, _ bool, args []string) {
	jar := "default"
	if len(args) > 0 {
		jar = args[0]
	}
	delete(of(ts).jars, jar)
}

type form struct {
	action, method string
	fields         []field
}

type field struct{ name, kind, value string }

func (f *form) set(ts *testscript.TestScript, kind, value string) {
	found := false
	for i := range f.fields {
		if f.fields[i].kind == kind {
			f.fields[i].value, found = value, true
		}
	}
	if !found {
		ts.Fatalf("the form has no %s", kind)
	}
}

// form is the first form of the page that posts; nil: none.
func (p *page) form(ts *testscript.TestScript) *form {
	root, err := html.Parse(strings.NewReader(p.body))
	ts.Check(err)
	var found *form
	var walk func(n *html.Node, in *form)
	walk = func(n *html.Node, in *form) {
		if n.Type == html.ElementNode {
			at := map[string]string{}
			for _, a := range n.Attr {
				at[a.Key] = a.Val
			}
			switch {
			case n.Data == "form" && strings.EqualFold(at["method"], "post") && found == nil:
				base, err := url.Parse(p.url)
				ts.Check(err)
				to, err := base.Parse(at["action"])
				ts.Check(err)
				found = &form{action: to.String(), method: http.MethodPost}
				in = found
			case n.Data == "input" && in != nil && at["name"] != "":
				kind := at["type"]
				if kind == "" {
					kind = "text"
				}
				if kind != "checkbox" {
					in.fields = append(in.fields, field{at["name"], kind, at["value"]})
				}
			case n.Data == "button" && in != nil && at["name"] != "":
				in.fields = append(in.fields, field{at["name"], "submit", at["value"]})
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c, in)
		}
	}
	walk(root, nil)
	return found
}

// submit sends a form by its first button.
func (s *script) submit(ts *testscript.TestScript, jar string, f *form) {
	values, pressed := url.Values{}, false
	for _, in := range f.fields {
		if in.kind == "submit" {
			if pressed {
				continue
			}
			pressed = true
		}
		values.Add(in.name, in.value)
	}
	s.open(ts, request{jar: jar, method: f.method, url: f.action, body: values.Encode(), follow: true})
}

// raw <port> <file> sends the bytes of a file and prints the answer.
func cmdRaw(ts *testscript.TestScript, _ bool, args []string) {
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+args[0], 5*time.Second)
	ts.Check(err)
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(10 * time.Second)))
	text := strings.ReplaceAll(strings.TrimRight(ts.ReadFile(args[1]), "\n")+"\n\n", "\n", "\r\n")
	text = strings.ReplaceAll(text, "$PORT", ts.Getenv("POSTERN_PORT"))
	_, err = io.WriteString(conn, text)
	ts.Check(err)
	answer, err := io.ReadAll(conn)
	ts.Check(err)
	_, err = ts.Stdout().Write(answer)
	ts.Check(err)
}

// held is a request that is half sent.
type held struct {
	conn net.Conn
	rest string
}

// hold <URL> <user> <password> sends the open login form but for its last byte.
func cmdHold(ts *testscript.TestScript, _ bool, args []string) {
	s := of(ts)
	f := s.page.form(ts)
	values := url.Values{}
	for _, in := range f.fields {
		switch in.kind {
		case "password":
			in.value = args[1]
		case "text", "email":
			in.value = args[0]
		}
		values.Add(in.name, in.value)
	}
	body := values.Encode()
	u, err := url.Parse(f.action)
	ts.Check(err)
	r, err := http.NewRequest(http.MethodPost, f.action, nil)
	ts.Check(err)
	for _, c := range s.jars["default"].Cookies(u) {
		r.AddCookie(c)
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+u.Port())
	ts.Check(err)
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nCookie: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		u.RequestURI(), u.Host, u.Scheme+"://"+u.Host, r.Header.Get("Cookie"), len(body), body[:len(body)-1])
	s.held = &held{conn: conn, rest: body[len(body)-1:]}
}

// release sends the last byte of what hold began, and follows as a browser does.
func cmdRelease(ts *testscript.TestScript, _ bool, _ []string) {
	s := of(ts)
	h := s.held
	defer h.conn.Close()
	_, err := io.WriteString(h.conn, h.rest)
	ts.Check(err)
	res, err := http.ReadResponse(bufio.NewReader(h.conn), nil)
	ts.Check(err)
	defer res.Body.Close()
	u, err := url.Parse(s.page.url)
	ts.Check(err)
	s.jars["default"].SetCookies(u, res.Cookies())
	to, err := u.Parse(res.Header.Get("Location"))
	ts.Check(err)
	if res.StatusCode != http.StatusFound && res.StatusCode != http.StatusSeeOther {
		text, _ := io.ReadAll(res.Body)
		ts.Fatalf("the held login: %d\n%s", res.StatusCode, text)
	}
	s.open(ts, request{jar: "default", url: to.String(), follow: true})
	s.page.print(ts)
}
