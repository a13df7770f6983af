package api

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// The pages at /api/v3/ show people the published document. They work without
// script; what they send for a reader are GETs, with the reader's own login.

//go:embed pages/*.html
var pageFiles embed.FS

var (
	indexPage     = template.Must(template.ParseFS(pageFiles, "pages/layout.html", "pages/index.html"))     //nolint:gochecknoglobals // a template
	operationPage = template.Must(template.ParseFS(pageFiles, "pages/layout.html", "pages/operation.html")) //nolint:gochecknoglobals // a template
)

const htmlType = "text/html"

// pageView is what every page has.
type pageView struct {
	Title, Brand, User, Login, Search string
}

type indexView struct {
	pageView
	Groups     []callGroup
	Found, All int
	Unknown    string // an operation that was asked for, and is not there
}

type callGroup struct {
	Tag   string
	Calls []*callView
}

// index is where the API begins: a list of its operations for programs, and pages
// for people.
func (h *Handler) index(c *call) (reply, error) {
	if preferred(c.r.Header.Values("Accept"), jsonType, htmlType) == htmlType {
		return h.browse(c)
	}
	var lines []string
	for _, v := range h.published().matching(c.param("search")) {
		lines = append(lines, v.Method+" "+strings.TrimSuffix(Prefix, "/")+v.Path)
	}
	return ok(object{"product": "Postern", "operations": list(lines)})
}

func indexShape() shape {
	return objectShape("Index", always("product", textShape()), always("operations", listShape(textShape())))
}

// indexParameters are those of the pages. An operation's own stand beside them.
func indexParameters() []parameter {
	return []parameter{
		{name: "search", kind: byText, text: "Words that path, description or parameters of an operation must have."},
		{name: "operation", kind: byText, text: "Show this one, by its operationId. For people."},
		flag("send", false, "Send the operation, with the parameters beside, and show the answer. For people, and GET alone."),
	}
}

// browse is the index as pages.
func (h *Handler) browse(c *call) (reply, error) {
	p := h.published()
	base := pageView{Title: "REST API", Brand: c.look().Title}
	base.Login = "/if/flow/" + core.FlowAuthentication + "/?" + url.Values{"next": {c.r.URL.RequestURI()}}.Encode()
	if c.user != nil {
		base.User = cmp.Or(c.user.DisplayName, c.user.UserName)
	}
	unknown := ""
	if id := c.param("operation"); id != "" {
		if v := p.call(id); v != nil {
			base.Title = v.Summary
			return h.render(c, operationPage, h.operation(c, base, v))
		}
		unknown = id
	}
	base.Search = strings.TrimSpace(c.param("search"))
	if unknown != "" {
		base.Search = ""
	}
	view := indexView{pageView: base, All: len(p.calls), Unknown: unknown}
	for _, v := range p.matching(base.Search) {
		if n := len(view.Groups); n == 0 || view.Groups[n-1].Tag != v.Tag {
			view.Groups = append(view.Groups, callGroup{Tag: v.Tag})
		}
		last := &view.Groups[len(view.Groups)-1]
		last.Calls = append(last.Calls, v)
		view.Found++
	}
	return h.render(c, indexPage, view)
}

// call is the operation of a name, nil for none.
func (p *published) call(id string) *callView {
	for _, v := range p.calls {
		if v.ID == id {
			return v
		}
	}
	return nil
}

// matching are the operations that have every word, by path.
func (p *published) matching(search string) []*callView {
	words := strings.Fields(core.Fold(search))
	return slices.DeleteFunc(slices.Clone(p.calls), func(v *callView) bool {
		return slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(v.text, word) })
	})
}

// render writes a page, whole in memory first. Style comes from this origin alone,
// and nothing runs.
func (h *Handler) render(c *call, page *template.Template, view any) (reply, error) {
	var out bytes.Buffer
	if err := page.ExecuteTemplate(&out, "layout.html", view); err != nil {
		return reply{}, fmt.Errorf("render a page of the API: %w", err)
	}
	a := reply{status: http.StatusOK, raw: out.Bytes(), media: htmlType + "; charset=utf-8", header: map[string]string{
		"Content-Security-Policy":    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		"X-Frame-Options":            "DENY",
		"Referrer-Policy":            "same-origin",
		"Cross-Origin-Opener-Policy": "same-origin",
		"Vary":                       "Accept, Authorization, Cookie",
	}}
	if c.info.Scheme == "https" {
		a.header["Strict-Transport-Security"] = "max-age=31536000"
	}
	return a, nil
}
