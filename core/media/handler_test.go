package media_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
	"github.com/postern-sso/postern/storage/mediastore"
	"github.com/postern-sso/postern/storage/storagetest"
)

const (
	png = "\x89PNG\x0D\x0A\x1A\x0A and so on"
	svg = "<?xml version=\"1.0\"?>\n<!-- a comment -->\n<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>"
)

// bench serves two tenants' files from a directory.
type bench struct {
	*testing.T
	*media.Handler
	clock *clock
	dir   string
}

func newBench(t *testing.T) *bench {
	s, c := newSigner(t, secret)
	dir := filepath.Join(t.TempDir(), "media")
	store := &mediastore.Dir{Path: dir}
	s.Store = store
	b := &bench{t, &media.Handler{
		Store: store, Signer: s, Now: c.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Own: func(_ context.Context, of *core.Tenant, host string) bool {
			return host == string(of.ID)[2:]+".test" || host == string(of.ID)[2:]+".example"
		},
	}, c, dir}
	b.put(tenantA, "a.png", png)
	b.put(tenantA, "icons/a.svg", svg)
	b.put(tenantB, "a.png", png+" of B")
	return b
}

func (b *bench) put(t *core.Tenant, name, content string) {
	b.Helper()
	if err := b.Store.Put(b.Context(), t.ID, name, strings.NewReader(content)); err != nil {
		b.Fatal(err)
	}
}

// ask sends a request to a tenant's own host.
func (b *bench) ask(method string, t *core.Tenant, url string, header ...string) *httptest.ResponseRecorder {
	b.Helper()
	w := httptest.NewRecorder()
	b.ServeHTTP(w, b.request(method, t, url, header...))
	return w
}

func (b *bench) request(method string, t *core.Tenant, url string, header ...string) *http.Request {
	r := httptest.NewRequestWithContext(core.WithRequest(b.Context(), &core.RequestInfo{
		Tenant: t, Scheme: "https", Host: string(t.ID)[2:] + ".test", URI: url, Method: method,
	}), method, "/", nil)
	u, err := parse(url)
	if err != nil {
		b.Fatal(err)
	}
	r.URL = u
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func (b *bench) get(t *core.Tenant, url string, header ...string) *httptest.ResponseRecorder {
	b.Helper()
	return b.ask(http.MethodGet, t, url, header...)
}

// absent checks that an answer is the one of all that is not to be had.
func (b *bench) absent(what string, w *httptest.ResponseRecorder) {
	b.Helper()
	got := fmt.Sprint(w.Code, w.Body, w.Header())
	if want := "404404 page not found\n map[Cache-Control:[no-store] Content-Security-Policy:[default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox] Content-Type:[text/plain; charset=utf-8] Referrer-Policy:[no-referrer] X-Content-Type-Options:[nosniff]]"; strings.ReplaceAll(got, "404 404", "404404") != want {
		b.Errorf("%s: %s", what, got)
	}
}

func TestServe(t *testing.T) {
	b := newBench(t)
	url := b.Signer.URL(tenantA, "a.png", media.Options{})
	_, _, query := cut3(url, "?")
	for _, at := range []string{url, "/media/t_a/a.png?" + query, "/files/media/t_a/%61.png?" + query} {
		w := b.get(tenantA, at)
		if w.Code != http.StatusOK || w.Body.String() != png {
			t.Errorf("%s: %d %q", at, w.Code, w.Body)
		}
		for name, want := range map[string]string{
			"Content-Type": "image/png", "Content-Disposition": `inline; filename="a.png"`, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Length": strconv.Itoa(len(png)), "Accept-Ranges": "bytes", "Vary": "Origin", "Access-Control-Allow-Origin": "",
			"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
	w := b.ask(http.MethodHead, tenantA, url)
	if w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Content-Length") != strconv.Itoa(len(png)) {
		t.Errorf("HEAD: %d %q %v", w.Code, w.Body, w.Header())
	}
	w = b.get(tenantA, b.Signer.URL(tenantA, "a.png", media.Options{Download: true}))
	if got := w.Header().Get("Content-Disposition"); got != `attachment; filename="a.png"` {
		t.Errorf("a download is %s", got)
	}
}

// parse leaves a path as it was written.
func parse(uri string) (*url.URL, error) { return url.ParseRequestURI(uri) }

func cut3(s, sep string) (before, found, after string) {
	before, after, _ = strings.Cut(s, sep)
	return before, sep, after
}

// A browser keeps a file as long as its URL is good, and no longer.
func TestServeCaching(t *testing.T) {
	b := newBench(t)
	url := b.Signer.URL(tenantA, "a.png", media.Options{})
	name, token := parts(t, tenantA, url)
	_, until, err := b.Signer.Verify(tenantA, name, token)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.now = until.Add(-90 * time.Second)
	w := b.get(tenantA, url)
	if got := w.Header().Get("Cache-Control"); got != "private, max-age=90" {
		t.Errorf("Cache-Control is %q", got)
	}
	tag := w.Header().Get("ETag")
	if w = b.get(tenantA, url, "If-None-Match", tag); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("the same tag: %d %q", w.Code, w.Body)
	}
	if w = b.get(tenantA, url, "If-Modified-Since", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)); w.Code != http.StatusNotModified {
		t.Errorf("not modified since: %d", w.Code)
	}
	if w = b.get(tenantA, url, "If-Match", `"other"`); w.Code != http.StatusPreconditionFailed {
		t.Errorf("another tag is wanted: %d", w.Code)
	}
	b.put(tenantA, "a.png", png+" anew")
	if w = b.get(tenantA, url, "If-None-Match", tag); w.Code != http.StatusOK || w.Body.String() != png+" anew" {
		t.Errorf("after a change: %d %q", w.Code, w.Body)
	}
	b.clock.now = until
	b.absent("expired, with the tag", b.get(tenantA, url, "If-None-Match", w.Header().Get("ETag")))
}

func TestServeRanges(t *testing.T) {
	b := newBench(t)
	url := b.Signer.URL(tenantA, "a.png", media.Options{})
	for asked, want := range map[string]string{"bytes=1-3": "PNG", "bytes=-5": "so on", "bytes=13-": png[13:]} {
		if w := b.get(tenantA, url, "Range", asked); w.Code != http.StatusPartialContent || w.Body.String() != want {
			t.Errorf("%s: %d %q", asked, w.Code, w.Body)
		}
	}
	if w := b.get(tenantA, url, "Range", "bytes=1000-"); w.Code != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("past the end: %d", w.Code)
	}
	w := b.get(tenantA, url, "Range", "bytes="+strings.Repeat("0-,", 10_000)+"0-") // more than the file
	if w.Body.Len() > len(png) {
		t.Errorf("many ranges: %d, %d bytes", w.Code, w.Body.Len())
	}
	w = b.get(tenantA, url, "Range", "bytes=0-3", "If-Range", `"other"`)
	if w.Code != http.StatusOK || w.Body.String() != png {
		t.Errorf("a range of another file: %d", w.Code)
	}
}

// M-01: whatever the path, nothing is served but the file that was signed. The control is that the signed
// path serves it, with the token that the others have.
func TestM01Paths(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile(filepath.Join(b.dir, "t_a", ".htaccess"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(b.dir, "t_a", "link.png")); err != nil {
		t.Fatal(err)
	}
	url := b.Signer.URL(tenantA, "a.png", media.Options{})
	_, _, query := cut3(url, "?")
	if w := b.get(tenantA, url); w.Code != http.StatusOK {
		t.Fatalf("control: %d", w.Code)
	}
	for _, path := range []string{
		"/media/../../etc/passwd", "/media/%2e%2e%2f%2e%2e%2fetc/passwd", "/media/t_a/..%5c..%5ca.png", "/media/t_a/%252e%252e/a.png", "/media/t_a/..%2ft_b/a.png", "/media/t_a/../t_a/a.png",
		"/media/t_a//etc/passwd", "/media/t_a/%2fetc%2fpasswd", "/media/t_a/a.png%00", "/media/t_a/a.png%00.svg", "/media/t_a/a.png::$DATA", "/media/t_a/./a.png", "/media/t_a//a.png", "/media/t_a/a.png/",
		"/media/t_a/.htaccess", "/media/t_a/.uploads/x", "/media/t_a/link.png", "/media/t_a/A.PNG", "/media/t_a/", "/media/t_a", "/media/", "/files/media/", "/files/media/t_a", "/files/media//a.png", "/files/media/t_a/icons/", "/files/media/t_a/icons",
		"/files/media/t_a/a.png%3FversionId=1", "/files/media/t_a/a.png;x", "/files/media/t_a/a.png%23x", "/files/media/https:%2f%2fevil.test/a.png",
	} {
		b.absent(path, b.get(tenantA, path+"?"+query))
	}
	// Signed for a name that is none, by whoever might ask for it.
	for _, name := range storagetest.WrongMediaNames() {
		url := b.Signer.URL(tenantA, name, media.Options{})
		_, _, query := cut3(url, "?token=")
		r := b.request(http.MethodGet, tenantA, "/")
		r.URL.Path, r.URL.RawQuery = "/files/media/t_a/"+name, "token="+query
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		b.absent("signed "+name, w)
	}
	b.absent("a signed link", b.get(tenantA, b.Signer.URL(tenantA, "link.png", media.Options{})))
}

// M-05, X-09: A's URL at B's host, and A's signature below B's folder. The controls are each tenant's own.
func TestM05Hosts(t *testing.T) {
	b := newBench(t)
	urlA, urlB := b.Signer.URL(tenantA, "a.png", media.Options{}), b.Signer.URL(tenantB, "a.png", media.Options{})
	if w := b.get(tenantA, urlA); w.Code != http.StatusOK || w.Body.String() != png {
		t.Errorf("control A: %d", w.Code)
	}
	if w := b.get(tenantB, urlB); w.Code != http.StatusOK || w.Body.String() != png+" of B" {
		t.Errorf("control B: %d", w.Code)
	}
	b.absent("A's URL at B's host", b.get(tenantB, urlA))
	b.absent("A's signature below B's folder, at A's host", b.get(tenantA, strings.Replace(urlA, "t_a", "t_b", 1)))
	b.absent("A's signature below B's folder, at B's host", b.get(tenantB, strings.Replace(urlA, "t_a", "t_b", 1)))
	b.absent("B's signature below A's folder, at B's host", b.get(tenantB, strings.Replace(urlB, "t_b", "t_a", 1)))
}

// M-06: a URL is to read by.
func TestM06Methods(t *testing.T) {
	b := newBench(t)
	url := b.Signer.URL(tenantA, "a.png", media.Options{})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect, "PROPFIND", "get"} {
		w := b.ask(method, tenantA, url)
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if w := b.get(tenantA, url); w.Code != http.StatusOK || w.Body.String() != png {
		t.Errorf("afterwards: %d %q", w.Code, w.Body)
	}
}

// M-07: what is served is what its name and its content both say, and does nothing. The controls are
// pictures, which are shown.
func TestM07Kinds(t *testing.T) {
	b := newBench(t)
	const octets, shown, kept = "application/octet-stream", "inline", "attachment"
	for _, c := range []struct{ name, content, kind, shown string }{
		{"c.png", png, "image/png", shown},
		{"c.PNG", png, "image/png", shown},
		{"c.jpg", "\xff\xd8\xff\xe0", "image/jpeg", shown},
		{"c.jpeg", "\xff\xd8\xff\xe0", "image/jpeg", shown},
		{"c.gif", "GIF89a", "image/gif", shown},
		{"c.webp", "RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp", shown},
		{"c.ico", "\x00\x00\x01\x00", "image/x-icon", shown},
		{"c.svg", svg, "image/svg+xml", kept},
		{"polyglot.gif", "GIF89a/*<html><script>alert(1)</script>*/=1", "image/gif", shown},
		{"x.png", "<html><script>alert(1)</script>", octets, kept},
		{"y.png", svg, octets, kept},
		{"z.png", "%PDF-1.7", octets, kept},
		{"w.png", "\xff\xd8\xff\xe0", octets, kept},
		{"empty.png", "", octets, kept},
		{"x.svg", "<html><svg></svg></html>", octets, kept},
		{"y.svg", "<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\"><svg/></html>", octets, kept},
		{"z.svg", "<svgx/>", octets, kept},
		{"w.svg", "<!DOCTYPE html><svg/>", octets, kept},
		{"x.html", "<html>", octets, kept},
		{"x.htm", svg, octets, kept},
		{"x.xml", svg, octets, kept},
		{"x.xhtml", svg, octets, kept},
		{"x.js", "alert(1)", octets, kept},
		{"x.css", "body{}", octets, kept},
		{"x.pdf", "%PDF-1.7", octets, kept},
		{"x.mjs", "x", octets, kept},
		{"htaccess", "x", octets, kept},
		{"x.png.html", png, octets, kept},
		{"x.svgz", svg, octets, kept},
	} {
		b.put(tenantA, c.name, c.content)
		w := b.get(tenantA, b.Signer.URL(tenantA, c.name, media.Options{}), "Accept", "text/html")
		header := w.Header()
		if got := header.Get("Content-Type"); got != c.kind || w.Code != http.StatusOK {
			t.Errorf("%s is served as %s, %d; want %s", c.name, got, w.Code, c.kind)
		}
		if got := header.Get("Content-Disposition"); got != fmt.Sprintf("%s; filename=%q", c.shown, c.name) {
			t.Errorf("%s is served as %s", c.name, got)
		}
		if header.Get("X-Content-Type-Options") != "nosniff" || !strings.HasSuffix(header.Get("Content-Security-Policy"), "; sandbox") {
			t.Errorf("%s: %v", c.name, header)
		}
	}
}

// M-14: without a signature that is good nobody learns what is there. The control is the URL itself.
func TestM14Absent(t *testing.T) {
	b := newBench(t)
	good := b.Signer.URL(tenantA, "a.png", media.Options{})
	if w := b.get(tenantA, good); w.Code != http.StatusOK {
		t.Fatalf("control: %d", w.Code)
	}
	path, _, query := cut3(good, "?")
	for what, url := range map[string]string{
		"no signature":          path,
		"an empty one":          path + "?token=",
		"a wrong one":           path + "?token=" + strings.Repeat("A", 52),
		"another name":          path + "?t=" + query,
		"of another file":       strings.Replace(good, "a.png", "icons/a.svg", 1),
		"not there":             path + "x",
		"not there, signed":     b.Signer.URL(tenantA, "not-there.png", media.Options{}),
		"a folder, signed":      b.Signer.URL(tenantA, "icons", media.Options{}),
		"signed, with a change": good + "A",
	} {
		b.absent(what, b.get(tenantA, url))
		w := b.ask(http.MethodHead, tenantA, url)
		b.absent(what+", HEAD", w)
	}
	b.clock.now = b.clock.now.Add(media.DefaultLife)
	b.absent("expired", b.get(tenantA, good))
}

func TestServeCORS(t *testing.T) {
	b := newBench(t)
	url := b.Signer.URL(tenantA, "a.png", media.Options{})
	for origin, want := range map[string]bool{
		"https://a.test": true, "https://a.example": true, "https://a.example:8443": true,
		"http://a.test": false, "https://b.test": false, "https://evil.test": false, "https://a.test.evil.test": false, "null": false, "https://a.example@evil.test": false, "": false, "x": false, "javascript://a.example": false,
	} {
		w := b.get(tenantA, url, "Origin", origin)
		got := w.Header().Get("Access-Control-Allow-Origin")
		if w.Code != http.StatusOK || want && got != origin || !want && got != "" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%q: %d, allowed %q", origin, w.Code, got)
		}
	}
}

type broken struct{ media.Store }

func (broken) Open(context.Context, core.TenantID, string) (*media.File, error) {
	return nil, fmt.Errorf("open a media file: %w: bucket s3-internal.test is on fire", core.ErrUnavailable)
}

// L-11: a store that is away is told apart from a file that is not there, and its trouble stays in the log.
func TestServeUnavailable(t *testing.T) {
	b := newBench(t)
	b.Store = broken{}
	w := b.get(tenantA, b.Signer.URL(tenantA, "a.png", media.Options{}))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "fire") || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
	b.absent("without a signature nobody learns of it", b.get(tenantA, "/files/media/t_a/a.png"))
}

// kernel is a connection that takes files.
type kernel struct {
	*httptest.ResponseRecorder
	from io.Reader
}

func (k *kernel) ReadFrom(r io.Reader) (int64, error) {
	k.from = r
	return io.Copy(k.ResponseRecorder, r)
}

// A file of a directory reaches whoever can have the kernel send it.
func TestServeFile(t *testing.T) {
	b := newBench(t)
	w := &kernel{ResponseRecorder: httptest.NewRecorder()}
	b.ServeHTTP(w, b.request(http.MethodGet, tenantA, b.Signer.URL(tenantA, "a.png", media.Options{})))
	limited, ok := w.from.(*io.LimitedReader)
	if !ok {
		t.Fatalf("a %T was sent", w.from)
	}
	if _, ok := limited.R.(*os.File); !ok || w.Body.String() != png {
		t.Errorf("a %T was sent: %q", limited.R, w.Body)
	}
}

func TestHandles(t *testing.T) {
	for path, want := range map[string]bool{
		"/files/media/t_a/x": true, "/files/media/": true, "/media/t_a/x?token=x": true, "/media/public/x?a=b&token=": true,
		"/media/t_a/x": false, "/media/public/x?a=b": false, "/media/photos/x?token=x": false,
		"/media/": false, "/media/photos/x": false, "/media/t_/x": false, "/media/t_A/x": false, "/files/": false, "/filesx/media/": false, "/": false,
	} {
		path, query, _ := strings.Cut(path, "?")
		if got := media.Handles(path, query); got != want {
			t.Errorf("%s?%s: %v", path, query, got)
		}
	}
}

// What breaks while a file is read is no answer without an end.
func TestServeBrokenFile(t *testing.T) {
	b := newBench(t)
	b.Store = torn{}
	w := b.get(tenantA, b.Signer.URL(tenantA, "a.png", media.Options{}))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

type torn struct{ media.Store }

func (torn) Open(context.Context, core.TenantID, string) (*media.File, error) {
	return &media.File{ReadSeekCloser: tornFile{bytes.NewReader(nil)}, Info: media.Info{Name: "a.png", Size: 10}}, nil
}

type tornFile struct{ *bytes.Reader }

func (tornFile) Read([]byte) (int, error) { return 0, errors.New("input/output error") }
func (tornFile) Close() error             { return nil }
