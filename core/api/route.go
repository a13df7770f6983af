package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// access says who may use a route. Its zero value is no answer, and refused when
// the table is built.
type access int

const (
	// public: everybody, logged in or not.
	public access = iota + 1
	// loggedIn: every active user. The handler then shows only what is theirs.
	loggedIn
	// superusers: members of a group that makes them so.
	superusers
)

func (a access) String() string {
	switch a {
	case public:
		return "public"
	case loggedIn:
		return "loggedIn"
	case superusers:
		return "superusers"
	}
	return "unset"
}

// route is one line of the table. It is written without field names, so that a
// line without an access does not compile.
type route struct {
	method  string
	pattern string // below Prefix, ends in a slash; "{}" stands for one segment
	access  access
	serve   func(*call) (reply, error)
}

// routes is the whole API: method, path, who, and what answers.
func (h *Handler) routes() []route {
	const (
		get    = http.MethodGet
		post   = http.MethodPost
		remove = http.MethodDelete
	)
	all := []route{
		{get, "", public, h.index},
		{get, "root/config/", public, rootConfig},
		{get, "admin/version/", superusers, version},

		{get, "flows/instances/", superusers, listFlows},
		{get, "flows/instances/{}/", superusers, retrieveFlow},

		{get, "core/applications/", loggedIn, listApplications},
		{get, "core/applications/{}/", loggedIn, retrieveApplication},
		{get, "core/applications/{}/check_access/", superusers, checkAccess},
		{post, "core/applications/{}/set_icon_url/", superusers, setIconURL},

		{get, "providers/all/", superusers, listProviders},
		{get, "providers/all/{}/", superusers, retrieveProvider},
		{remove, "providers/all/{}/", superusers, deleteProvider},
		{get, "providers/oauth2/{}/setup_urls/", superusers, setupURLs},
		{get, "providers/oauth2/{}/preview_user/", superusers, previewUser},

		{get, "crypto/certificatekeypairs/{}/view_certificate/", superusers, viewCertificate},
		{get, "crypto/certificatekeypairs/{}/view_private_key/", superusers, viewPrivateKey},
		{post, "crypto/certificatekeypairs/generate/", superusers, generateKeyPair},

		{get, "core/users/me/", loggedIn, me},
		{post, "core/users/service_account/", superusers, createServiceAccount},
		{post, "core/users/{}/set_password/", superusers, setPassword},
		{post, "core/users/{}/recovery/", superusers, recovery},

		{post, "core/groups/{}/add_user/", superusers, addMember},
		{post, "core/groups/{}/remove_user/", superusers, removeMember},

		{get, "core/tokens/{}/view_key/", loggedIn, viewTokenKey},
		{post, "core/tokens/{}/set_key/", loggedIn, setTokenKey},
	}
	all = append(all, users().routes("core/users/", superusers)...)
	all = append(all, groups().routes("core/groups/", superusers)...)
	all = append(all, tokens().routes("core/tokens/", loggedIn)...)
	all = append(all, applications().writeRoutes("core/applications/", superusers)...)
	all = append(all, clients().routes("providers/oauth2/", superusers)...)
	all = append(all, proxyProviders().routes("providers/proxy/", superusers)...)
	all = append(all, scopeMappings().routes("propertymappings/provider/scope/", superusers)...)
	all = append(all, samlMappings().routes("propertymappings/provider/saml/", superusers)...)
	all = append(all, scimMappings().routes("propertymappings/provider/scim/", superusers)...)
	return append(all, keyPairs().routes("crypto/certificatekeypairs/", superusers)...)
}

// methodSet is what one path answers to.
type methodSet map[string]route

// allow is the Allow header (RFC 9110 §10.2.1).
func (m methodSet) allow() string {
	names := []string{http.MethodOptions}
	for name := range m {
		names = append(names, name)
		if name == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

type table map[string]methodSet

// newTable panics on a route that does not say who may use it, or that is
// listed twice: the table is part of the program.
func newTable(routes []route) table {
	t := table{}
	for _, r := range routes {
		if r.access < public || r.access > superusers || r.serve == nil {
			panic(fmt.Sprintf("api: %s %s does not say who may use it", r.method, r.pattern))
		}
		if t[r.pattern] == nil {
			t[r.pattern] = methodSet{}
		}
		if _, twice := t[r.pattern][r.method]; twice {
			panic(fmt.Sprintf("api: %s %s is there twice", r.method, r.pattern))
		}
		t[r.pattern][r.method] = r
	}
	return t
}

// find returns what a request path answers to, nil for nothing, and the segment
// that stands where the pattern has "{}". A path is answered without its last
// slash too. A word of the API goes before an object of that name.
func (t table) find(path string) (methodSet, string) {
	rest, ok := strings.CutPrefix(path+"/", Prefix)
	if !ok || strings.Contains(rest, "{}") {
		return nil, ""
	}
	if strings.HasSuffix(path, "/") {
		rest = strings.TrimSuffix(rest, "/")
	}
	if m, ok := t[rest]; ok {
		return m, ""
	}
	segments := strings.Split(rest, "/")
	for i, key := range segments[:len(segments)-1] {
		if key == "" || len(key) > 255 {
			continue
		}
		segments[i] = "{}"
		if m, ok := t[strings.Join(segments, "/")]; ok {
			return m, key
		}
		segments[i] = key
	}
	return nil, ""
}

// quoteMethod keeps a method that somebody made up short and printable.
func quoteMethod(method string) string { return fmt.Sprintf("%.40q", method) }
