package oidc

import (
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// The response modes (OAuth 2.0 Multiple Response Type Encoding Practices §2.1,
// OAuth 2.0 Form Post Response Mode).
const (
	modeQuery    = "query"
	modeFragment = "fragment"
	modeFormPost = "form_post"
)

// responseMode is the mode asked for, or the default of the response type. A
// form is posted to a web address only.
func responseMode(asked string, responseType []string, redirectURI string) string {
	web := strings.HasPrefix(strings.ToLower(redirectURI), "https://") || strings.HasPrefix(strings.ToLower(redirectURI), "http://")
	switch {
	case asked == modeQuery, asked == modeFragment, asked == modeFormPost && web:
		return asked
	case slices.Contains(responseType, "token"), slices.Contains(responseType, "id_token"):
		return modeFragment // an error in answer to a type that is not supported
	}
	return modeQuery
}

// field is one parameter of a response; their order is kept.
type field struct{ Name, Value string }

func (p *Provider) redirectCode(w http.ResponseWriter, r *http.Request, a *AuthRequest, to *target, code string) {
	p.redirect(w, r, a, to, []field{{"code", code}})
}

func (p *Provider) redirectError(w http.ResponseWriter, r *http.Request, a *AuthRequest, to *target, e *Error) {
	p.redirect(w, r, a, to, []field{{"error", e.Code}, {"error_description", e.Description}})
}

// redirect sends the response to the redirect URI, which was checked, with
// state as it came and iss, so that a client of several servers can tell whose
// answer it holds (RFC 9207).
func (p *Provider) redirect(w http.ResponseWriter, r *http.Request, a *AuthRequest, to *target, fields []field) {
	if a.State != "" {
		fields = append(fields, field{"state", a.State})
	}
	fields = append(fields, field{"iss", issuer(core.Request(r.Context()), to)})
	if a.ResponseMode == modeFormPost {
		p.formPost(w, r, a, to, fields)
		return
	}
	var sb strings.Builder
	sb.WriteString(a.RedirectURI)
	sep := "?"
	switch {
	case a.ResponseMode == modeFragment:
		sep = "#"
	case strings.HasSuffix(a.RedirectURI, "?"), strings.HasSuffix(a.RedirectURI, "&"):
		sep = ""
	case strings.Contains(a.RedirectURI, "?"):
		sep = "&"
	}
	for _, f := range fields {
		sb.WriteString(sep + f.Name + "=" + url.QueryEscape(f.Value))
		sep = "&"
	}
	// Written by hand: http.Redirect would put a URI of a native application's own
	// scheme through path cleaning.
	w.Header().Set("Location", sb.String())
	status := http.StatusFound
	if r.Method == http.MethodPost {
		status = http.StatusSeeOther // RFC 9700 §4.12
	}
	w.WriteHeader(status)
}

// issuer is the iss value for an application, as this request's host sees it.
func issuer(info *core.RequestInfo, to *target) string {
	if to.client != nil && to.client.IssuerMode == core.IssuerGlobal {
		return info.Origin() + "/"
	}
	return info.Origin() + prefix + url.PathEscape(to.app.Slug) + "/"
}

// formPostPage works without script: the button sends the form.
//
//nolint:gochecknoglobals // parsed once, and never changed
var formPostPage = template.Must(template.New("form_post").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Continue to {{.Application}}</title>
<link rel="stylesheet" href="{{.Style}}">
<script src="{{.Script}}" defer></script>
</head>
<body>
<form method="post" action="{{.Action}}">
{{range .Fields}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{end}}<p>You are on your way to {{.Application}}.</p>
<button type="submit" autofocus>Continue</button>
</form>
</body>
</html>
`))

// formPost answers by a form that the browser posts to the client. The policy
// has no form-action: browsers apply it to the redirects that follow a post too,
// and those are the client's own. Nor has the page an opener policy: a client may have
// opened the login in a window of its own, and waits there for the answer.
func (p *Provider) formPost(w http.ResponseWriter, r *http.Request, a *AuthRequest, to *target, fields []field) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	if core.Request(r.Context()).Scheme == "https" {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	err := formPostPage.Execute(w, map[string]any{
		"Application": to.app.Name, "Script": prefix + "form-post.js", "Style": prefix + "form-post.css", "Action": a.RedirectURI, "Fields": fields,
	})
	if err != nil {
		p.Log.DebugContext(r.Context(), "oidc: write a form_post page", "error", err)
	}
}

// formPostScript sends the form at once, where script runs.
func (p *Provider) formPostScript(w http.ResponseWriter, r *http.Request) {
	p.formPostFile(w, r, "text/javascript", "document.forms[0].submit();\n")
}

// formPostStyle is for whoever sees the form: without script they press its button.
func (p *Provider) formPostStyle(w http.ResponseWriter, r *http.Request) {
	p.formPostFile(w, r, "text/css", `:root { color-scheme: light dark; font: 1.125rem/1.5 system-ui, sans-serif; }
body { max-width: 28rem; margin: 15vh auto 0; padding: 0 1rem; text-align: center; overflow-wrap: anywhere; }
button { font: inherit; width: 100%; padding: 0.75rem 1rem; }
`)
}

func (p *Provider) formPostFile(w http.ResponseWriter, r *http.Request, kind, body string) {
	h := w.Header()
	h.Set("Content-Type", kind+"; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=86400")
	if _, err := io.WriteString(w, body); err != nil {
		p.Log.DebugContext(r.Context(), "oidc: write what the form_post page needs", "error", err)
	}
}
