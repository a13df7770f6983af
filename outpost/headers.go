package outpost

import (
	"io"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/postern-sso/postern/core"
)

// HeaderSet names the headers that tell an application who its user is.
type HeaderSet string

// The three sets.
const (
	// HeadersAuthentik is X-authentik-username, -groups and -entitlements (each joined by
	// "|"), -email, -name, -uid and -meta-app.
	HeadersAuthentik HeaderSet = "authentik"
	// HeadersRemote is Remote-User, Remote-Groups (joined by ","), Remote-Email and
	// Remote-Name.
	HeadersRemote HeaderSet = "remote"
	// HeadersNone tells the application nothing.
	HeadersNone HeaderSet = "none"
)

// Bounds of what is sent upstream. A proxy or application that gets longer headers often
// answers with an error that names no cause.
const (
	maxValue  = 1 << 10 // bytes of a name or an address
	maxGroups = 8 << 10 // bytes of all groups together, and of all entitlements
)

// Identity is who a request is from.
type Identity struct {
	User   *core.User
	Groups []string // names, direct and inherited
	UID    string   // the subject identifier that most clients get, too

	names  []string
	values []string
	extra  []string // of names, those that attributes name
}

// newIdentity works out the headers once for a person and an application. It
// returns false for a user name that no header can carry as it is.
func newIdentity(t *core.Tenant, app *core.Application, u *core.User, groups []core.Group, entitled []core.Entitlement, set HeaderSet) (*Identity, bool) {
	id := &Identity{User: u, UID: u.HashedID(t.UUID)}
	for i := range groups {
		id.Groups = append(id.Groups, groups[i].Name)
	}
	// To change the name would make it another person's.
	if u.UserName == "" || len(u.UserName) > maxValue || !clean(u.UserName) {
		return nil, false
	}
	add := func(name, value string) {
		if value != "" {
			id.names, id.values = append(id.names, name), append(id.values, value)
		}
	}
	email := u.Email
	if len(email) > maxValue || !clean(email) {
		email = ""
	}
	switch set {
	case HeadersNone:
	case HeadersRemote:
		add("Remote-User", u.UserName)
		add("Remote-Groups", joinGroups(id.Groups, ","))
		add("Remote-Email", email)
		add("Remote-Name", display(u.DisplayName))
	default:
		add("X-Authentik-Username", u.UserName)
		add("X-Authentik-Groups", joinGroups(id.Groups, "|"))
		add("X-Authentik-Entitlements", joinGroups(entitlementNames(entitled), "|"))
		add("X-Authentik-Email", email)
		add("X-Authentik-Name", display(u.DisplayName))
		add("X-Authentik-Uid", id.UID)
		add("X-Authentik-Meta-App", app.Slug)
	}
	return id, true
}

func entitlementNames(entitled []core.Entitlement) []string {
	var names []string
	for i := range entitled {
		names = append(names, entitled[i].Name)
	}
	return names
}

// addUpstream adds what a provider says beside: the application's own login, and headers that attributes
// name.
func (id *Identity) addUpstream(p *core.ProxyProvider, groups []core.Group) {
	attributes := attributesOf(id.User, groups)
	names, values := extraHeaders(attributes)
	id.extra, id.names, id.values = names, append(id.names, names...), append(id.values, values...)
	if !p.BasicAuth {
		return
	}
	if value := basicAuth(p, id.User, attributes); value != "" {
		id.names, id.values = append(id.names, "Authorization"), append(id.values, value)
	}
}

// apply sets the headers. The values are copied: a handler that edits them in
// place must not edit another request's.
func (id *Identity) apply(h http.Header) {
	for _, name := range id.extra {
		dropSpellings(h, name)
	}
	values := append([]string(nil), id.values...)
	for i, name := range id.names {
		h[name] = values[i : i+1 : i+1]
	}
}

// joinGroups leaves out a name that holds the separator or a control character: it
// would be read as other groups, or entitlements. What does not fit into maxGroups is left out too,
// whole names only, so that the application sees fewer groups and never others.
func joinGroups(names []string, sep string) string {
	var b strings.Builder
	for _, name := range names {
		if name == "" || strings.Contains(name, sep) || !clean(name) || b.Len()+len(name)+len(sep) > maxGroups {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(sep)
		}
		b.WriteString(name)
	}
	return b.String()
}

// clean reports whether s is UTF-8 without control characters, line
// separators or white space at an end, all of which a header would lose or change.
func clean(s string) bool {
	if !utf8.ValidString(s) || strings.TrimSpace(s) != s {
		return false
	}
	return strings.IndexFunc(s, notPrintable) < 0
}

func notPrintable(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

// display makes a name fit: it is shown, and nothing depends on it.
func display(s string) string {
	s = strings.Map(func(r rune) rune {
		if notPrintable(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	for len(s) > maxValue {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return strings.TrimSpace(s)
}

// Strip removes the identity headers and trailers that the client sent, in
// every spelling that some server might take for ours: CGI, FastCGI and WSGI turn
// "-" and "_" into the same byte, and names have no case.
func Strip(r *http.Request) {
	stripIdentity(r.Header)
	stripIdentity(r.Trailer)
	stripConnection(r.Header)
	// Trailers arrive with the end of a body whose length was not told.
	if r.ContentLength < 0 && r.Body != nil && r.Body != http.NoBody {
		r.Body = &trailerStripper{ReadCloser: r.Body, request: r}
	}
}

func stripIdentity(h http.Header) {
	for name := range h {
		if identityHeader(name) {
			delete(h, name)
		}
	}
}

// stripConnection removes our names from the options of Connection: a proxy behind
// removes every header that is named there (RFC 9110 §7.6.1), and a client could take
// from the application what the guard is about to tell it.
func stripConnection(h http.Header) {
	values, ok := h["Connection"]
	if !ok {
		return
	}
	var kept []string
	ours := false
	for option := range strings.SplitSeq(strings.Join(values, ","), ",") {
		option = strings.TrimSpace(option)
		if identityHeader(option) && option != "" {
			ours = true
		} else if option != "" {
			kept = append(kept, option)
		}
	}
	switch {
	case !ours:
	case len(kept) == 0:
		delete(h, "Connection")
	default:
		h["Connection"] = []string{strings.Join(kept, ", ")}
	}
}

type trailerStripper struct {
	io.ReadCloser
	request *http.Request
}

func (t *trailerStripper) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err != nil {
		stripIdentity(t.request.Trailer)
	}
	return n, err
}

// identityHeader reports whether a header name is one of ours once case and
// punctuation are put aside.
func identityHeader(name string) bool {
	if plainOther(name) {
		return false
	}
	var buf [32]byte
	n, dash := 0, false
	for _, r := range name {
		r = unicode.ToLower(r)
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			dash = n > 0
			continue
		}
		if dash {
			if n == len(buf) {
				break
			}
			buf[n], n, dash = '-', n+1, false
		}
		if n == len(buf) {
			break
		}
		buf[n] = byte(r) //nolint:gosec // a to z or 0 to 9
		n++
	}
	s := string(buf[:n])
	switch s {
	case "remote-user", "remote-groups", "remote-email", "remote-name":
		return true
	}
	return strings.HasPrefix(s, "x-authentik-") || s == "x-authentik"
}

// plainOther is the quick answer for most names: ASCII, and the first letter is
// neither that of ours nor punctuation.
func plainOther(name string) bool {
	if name == "" {
		return true
	}
	c := name[0] | 0x20
	return c >= 'a' && c <= 'z' && c != 'x' && c != 'r'
}
