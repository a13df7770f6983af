package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// operationView is the page of one operation.
type operationView struct {
	pageView
	Call     callView
	Curl     string
	Sendable bool
	Refused  string // why it was not sent
	Result   *trial
}

// trial is what came back to what a reader sent.
type trial struct {
	Status string
	Body   string
	Cut    bool
}

// maxShown bounds how much of an answer a page shows, in bytes.
const maxShown = 256 << 10

// operation fills in a page, with the answer where the reader sent it. The reader
// must have asked for that on a page of ours: another site's link only fills in the
// form.
func (h *Handler) operation(c *call, base pageView, v *callView) operationView {
	view := operationView{pageView: base, Call: *v, Sendable: v.Method == http.MethodGet}
	values := c.r.URL.Query()
	view.Call.Inputs = make([]input, len(v.Inputs))
	for i, in := range v.Inputs {
		in.Value = values.Get(in.Name)
		view.Call.Inputs[i] = in
	}
	address, missing := view.Call.address()
	view.Curl = view.Call.curl(c.info.Origin() + address)
	if !view.Sendable || c.param("send") != "true" {
		return view
	}
	switch site := c.r.Header.Get("Sec-Fetch-Site"); {
	case missing != "":
		view.Refused = "Fill in " + missing + ", without a slash."
	case site != "" && site != "same-origin" && site != "none":
		view.Refused = "Another site filled in this form. Look at what it says before you send it."
	default:
		view.Result = h.try(c.r, address)
	}
	return view
}

// address is the operation's, with what the reader filled in; missing names a part
// of the path that is not.
func (v *callView) address() (address, missing string) {
	path, query := v.Path, url.Values{}
	for _, in := range v.Inputs {
		switch {
		case in.In != "path" && in.Value != "":
			query.Set(in.Name, in.Value)
		case in.In != "path":
		case in.Value == "" || strings.ContainsAny(in.Value, "/\x00"):
			missing = in.Name
		default:
			path = strings.ReplaceAll(path, "{"+in.Name+"}", url.PathEscape(in.Value))
		}
	}
	address = strings.TrimSuffix(Prefix, "/") + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return address, missing
}

// curl is the operation for the command line.
func (v *callView) curl(address string) string {
	var out strings.Builder
	out.WriteString("curl ")
	if v.Method != http.MethodGet {
		out.WriteString("-X " + v.Method + " ")
	}
	out.WriteString(`-H "Authorization: Bearer $TOKEN" `)
	if v.body != "" {
		out.WriteString("\\\n  -H 'Content-Type: application/json' \\\n  --data '" + strings.ReplaceAll(v.body, "'", `'\''`) + "' ")
	}
	if v.form {
		out.WriteString("-F file=@picture.png ")
	}
	out.WriteString("\\\n  '" + strings.ReplaceAll(address, "'", "%27") + "'")
	return out.String()
}

// try sends a GET of the API as the reader, who sees what any program of theirs
// would.
func (h *Handler) try(r *http.Request, address string) *trial {
	to, err := url.ParseRequestURI(address)
	if err != nil {
		return &trial{Status: "not sent", Body: "This makes no address."}
	}
	inner := r.Clone(r.Context())
	inner.Method, inner.URL, inner.RequestURI = http.MethodGet, to, address
	inner.Body, inner.ContentLength = http.NoBody, 0
	inner.Header.Set("Accept", jsonType)
	inner.Header.Del("If-None-Match")
	var w kept
	h.ServeHTTP(&w, inner)
	out := &trial{Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status)}
	body := pretty(w.body.Bytes())
	if out.Cut = len(body) > maxShown; out.Cut {
		body = body[:maxShown]
	}
	out.Body = strings.ToValidUTF8(string(body), "\uFFFD")
	return out
}

// pretty indents JSON, with each character as it is: the page escapes what it must.
func pretty(data []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return data
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if e.Encode(v) != nil {
		return data
	}
	return out.Bytes()
}

// kept is an answer that stays in memory.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header {
	if k.header == nil {
		k.header = http.Header{}
	}
	return k.header
}

func (k *kept) WriteHeader(status int) { k.status = status }

func (k *kept) Write(p []byte) (int, error) { return k.body.Write(p) }
