package login

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"

	"github.com/postern-sso/postern/core"
)

//go:embed pages/*.html
var pageFiles embed.FS

// pages are the parsed templates by name.
type pages map[string]*template.Template

func newPages(a *assets) pages {
	funcs := template.FuncMap{"asset": a.path}
	layout := template.Must(template.New("layout.html").Funcs(funcs).ParseFS(pageFiles, "pages/layout.html"))
	files, err := pageFiles.ReadDir("pages")
	if err != nil {
		panic(err) // the files are part of the program
	}
	out := pages{}
	for _, f := range files {
		if name := strings.TrimSuffix(f.Name(), ".html"); name != "layout" {
			out[name] = template.Must(template.Must(layout.Clone()).ParseFS(pageFiles, "pages/"+f.Name()))
		}
	}
	return out
}

// view is what every page is made of.
type view struct {
	Title   string
	Brand   string // the tenant's name for the product
	Theme   string // "light" or "dark"; "": as the browser likes
	Sheet   string // path of the brand's own stylesheet; "": none
	Links   []core.FooterLink
	Logo    template.URL // "": the built-in one
	Dark    template.URL // the logo in browsers that are set to dark; "": Logo
	Favicon template.URL
	Action  string // where the page's form is sent: where the page came from
	Token   string // of the page's form
	Alert   string // what went wrong
	Wide    bool   // a page with a head line, not a card
	Data    any

	images []template.URL // shown beside the logo and the favicon
}

func (h *Handler) view(r *http.Request, title string) *view {
	info := core.Request(r.Context())
	look := info.Look(r.Context())
	v := &view{Title: title, Brand: look.Title, Links: look.Settings.FooterLinks}
	v.Logo, v.Dark = h.variants(info.Tenant, look.Brand, look.Brand.Logo)
	v.Favicon, _ = h.variants(info.Tenant, look.Brand, look.Brand.Favicon)
	if theme := look.Brand.Theme(); theme != "automatic" {
		v.Theme = theme
	}
	v.Sheet = h.sheetOf(info.Tenant, look.Brand).path
	v.images = append(v.images, h.picture(info.Tenant, look.Brand.Background))
	if v.Favicon == "" {
		v.Favicon = template.URL(h.assets.path("favicon.svg")) //nolint:gosec // our own
	}
	v.Action = r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		v.Action += "?" + r.URL.RawQuery
	}
	return v
}

// render writes a page. It is whole in memory first: what fails does so before
// the first byte.
func (h *Handler) render(w http.ResponseWriter, r *http.Request, status int, name string, v *view) {
	var body bytes.Buffer
	if err := h.pages[name].ExecuteTemplate(&body, "layout.html", v); err != nil {
		h.log().ErrorContext(r.Context(), "render a page", "page", name, "request", requestID(r.Context()), "error", err)
		http.Error(w, "The page could not be shown. Request "+requestID(r.Context()), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", contentPolicy(append(v.images, v.Logo, v.Dark, v.Favicon)))
	secure(header, core.Request(r.Context()).Scheme)
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

// secure sets the headers that every answer with a body has.
func secure(header http.Header, scheme string) {
	header.Set("Cache-Control", "no-store")
	header.Set("X-Frame-Options", "DENY")
	header.Set("X-Content-Type-Options", "nosniff")
	// With no-referrer, browsers send "Origin: null" with our own forms.
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	if scheme == "https" {
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// contentPolicy lets a page load our own style and script, and the images it
// shows. There is no form-action: a browser that enforces it refuses the
// redirect that leads from the login form to a client.
func contentPolicy(images []template.URL) string {
	hosts := ""
	for _, image := range images {
		if host := imageHost(image); host != "" && !strings.Contains(hosts+" ", " "+host+" ") {
			hosts += " " + host
		}
	}
	return "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:" + hosts +
		"; frame-ancestors 'none'; base-uri 'none'"
}

type messagePage struct {
	Message   string
	RequestID string
}

// Refuse writes an error page: what happened and what to do next, in title and
// message, and the request's ID. A client that prefers JSON gets a problem
// document (RFC 9457).
func (h *Handler) Refuse(w http.ResponseWriter, r *http.Request, status int, title, message string) {
	h.init()
	id := requestID(r.Context())
	w.Header().Add("Vary", "Accept")
	if prefersJSON(r.Header.Get("Accept")) {
		body, err := json.Marshal(map[string]any{"type": "about:blank", "title": title, "status": status, "detail": message, "request_id": id})
		if err != nil {
			panic(err) // text and a number
		}
		w.Header().Set("Content-Type", "application/problem+json")
		secure(w.Header(), core.Request(r.Context()).Scheme)
		w.WriteHeader(status)
		_, _ = w.Write(body)
		return
	}
	v := h.view(r, title)
	v.Data = messagePage{message, id}
	h.render(w, r, status, "message", v)
}

// prefersJSON reports whether JSON is named before HTML: browsers name HTML
// first, and a client that names neither gets a page.
func prefersJSON(accept string) bool {
	json, html := strings.Index(accept, "application/json"), strings.Index(accept, "text/html")
	if json < 0 {
		json = strings.Index(accept, "application/problem+json")
	}
	return json >= 0 && (html < 0 || json < html)
}

func (h *Handler) notFound(w http.ResponseWriter, r *http.Request) {
	h.Refuse(w, r, http.StatusNotFound, "There is nothing here", "The address may be mistyped, or the page is gone.")
}

// fail answers what the store's trouble stopped. The cause goes to the log
// alone.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, doing string, err error) {
	h.log().ErrorContext(r.Context(), doing, "request", requestID(r.Context()), "path", r.URL.Path, "error", err)
	w.Header().Set("Retry-After", "5")
	h.Refuse(w, r, http.StatusServiceUnavailable, "That did not work right now", "Please try again in some seconds. If it goes on, tell an administrator the number below.")
}
