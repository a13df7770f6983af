package api_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/storage/sqldb"
)

// TestPages: the envelope, page by page, and what a bad page is.
func TestPages(t *testing.T) {
	e := open(t)
	for i := range 7 {
		e.want(201, "POST", "propertymappings/provider/saml/", map[string]any{"name": fmt.Sprintf("m%d", i), "saml_name": "s", "expression": "return 1"})
	}
	const path = "propertymappings/provider/saml/?saml_name=s&page_size=3"
	for number, want := range map[int]string{
		1: "count=7 current=1 end_index=3 next=2 previous=0 start_index=1 total_pages=3: m0 m1 m2",
		2: "count=7 current=2 end_index=6 next=3 previous=1 start_index=4 total_pages=3: m3 m4 m5",
		3: "count=7 current=3 end_index=7 next=0 previous=2 start_index=7 total_pages=3: m6",
	} {
		p := fmt.Sprintf("%s&page=%d", path, number)
		list := e.want(200, "GET", p, nil)
		e.fitsList(list, "SAMLPropertyMapping")
		got := strings.Trim(fmt.Sprint(list["pagination"]), "map[]")
		if got = strings.ReplaceAll(got, ":", "=") + ": " + strings.Join(e.names(p, "name"), " "); got != want {
			t.Errorf("page %d: %s\nwant    %s", number, got, want)
		}
	}
	for _, page := range []string{"4", "0", "-1", "x", "1.5", "99999999999999999999", "4611686018427387904"} {
		a := e.send(e.root, "GET", path+"&page="+page, nil)
		if a.status != 404 || string(a.body) != `{"detail":"Invalid page."}` {
			t.Errorf("page=%s: %d %s", page, a.status, a.body)
		}
	}
	for size, want := range map[string]int{"0": 7, "-3": 7, "x": 7, "100000": 7, "": 7, "2": 2} {
		if n := len(e.names("propertymappings/provider/saml/?saml_name=s&page_size="+size, "name")); n != want {
			t.Errorf("page_size=%s: %d rows, want %d", size, n, want)
		}
	}
	db := &limits{DB: e.db}
	e.api.Store = db
	e.want(200, "GET", "propertymappings/provider/saml/?page_size=100000", nil)
	e.want(200, "GET", "propertymappings/provider/saml/", nil)
	if fmt.Sprint(db.asked) != "[500 100]" {
		t.Errorf("the store was asked for pages of %v", db.asked)
	}
	empty := e.want(200, "GET", "propertymappings/provider/saml/?name=nobody", nil)
	e.fitsList(empty, "SAMLPropertyMapping")
	if got := fmt.Sprint(empty["pagination"]); got != "map[count:0 current:1 end_index:0 next:0 previous:0 start_index:0 total_pages:1]" {
		t.Errorf("an empty list: %s", got)
	}
	if got := strings.Join(e.names("propertymappings/provider/saml/?ordering=-name&page_size=2", "name"), " "); got != "m6 m5" {
		t.Errorf("ordering=-name: %s", got)
	}
	if got := strings.Join(e.names("propertymappings/provider/saml/?ordering=expression;drop&page_size=2", "name"), " "); got != "m0 m1" {
		t.Errorf("an unknown ordering: %s", got)
	}
	if got := strings.Join(e.names("propertymappings/provider/saml/?search=M5", "name"), " "); got != "m5" {
		t.Errorf("search: %s", got)
	}
	if got := e.want(400, "GET", "propertymappings/provider/saml/?search=%00", nil); fmt.Sprint(got["search"]) != "[Null characters are not allowed.]" {
		t.Errorf("a search for what no name can hold: %v", got)
	}
}

// limits notes how much a list asks for.
type limits struct {
	*sqldb.DB
	asked []int
}

func (l *limits) ListMappings(ctx context.Context, t core.TenantID, kind core.MappingKind, q api.Query) ([]core.PropertyMapping, int, error) {
	l.asked = append(l.asked, q.Limit)
	return l.DB.ListMappings(ctx, t, kind, q)
}

// TestFilters: every filter narrows, to what it names and no further, and with a
// value that it cannot take it is refused rather than ignored.
func TestFilters(t *testing.T) {
	e := open(t)
	flows := e.flows()
	staff := e.want(201, "POST", "core/groups/", map[string]any{"name": "staff", "attributes": map[string]any{"site": "Bonn"}, "users": []any{e.plainPK}})["pk"]
	e.want(201, "POST", "core/users/", map[string]any{"username": "ann", "name": "Ann Lee", "email": "ann@example.com", "path": "users/eu", "type": "external", "attributes": map[string]any{"n": 5}})
	e.want(201, "POST", "core/users/", map[string]any{"username": "off", "name": "Off", "is_active": false, "path": "other"})
	mapping := e.want(201, "POST", "propertymappings/provider/scope/", map[string]any{"name": "own", "scope_name": "own", "expression": "return {}"})["pk"]
	pair := e.want(200, "POST", "crypto/certificatekeypairs/generate/", map[string]any{"common_name": "ec", "validity_days": 9, "alg": "ecdsa"})
	e.fits(pair, "CertificateKeyPair")
	public := e.want(201, "POST", "providers/oauth2/", flows.with(map[string]any{"name": "spa", "client_id": "spa", "client_type": "public", "redirect_uris": []any{}, "property_mappings": []any{mapping}, "signing_key": pair["pk"], "sub_mode": "user_email", "issuer_mode": "global", "include_claims_in_id_token": false}))
	e.fits(public, "OAuth2Provider")
	e.want(201, "POST", "providers/oauth2/", flows.with(map[string]any{"name": "web", "client_id": "web", "redirect_uris": []any{}}))
	e.want(201, "POST", "providers/proxy/", flows.with(map[string]any{"name": "guard", "external_host": "https://g.test", "mode": "forward_single"}))
	app := e.want(201, "POST", "core/applications/", map[string]any{"name": "Spa", "slug": "spa", "provider": public["pk"], "group": "Tools", "meta_publisher": "us"})
	e.want(201, "POST", "core/applications/", map[string]any{"name": "Link", "slug": "link", "meta_launch_url": "https://link.test"})
	e.want(201, "POST", "core/tokens/", map[string]any{"identifier": "pw", "intent": "app_password", "description": "d", "expiring": false})
	for _, v := range []struct{ path, query, member, want string }{
		{"core/users/", "username=ann", "username", "ann"},
		{"core/users/", "username=an", "username", ""},
		{"core/users/", "email=ann@example.com", "username", "ann"},
		{"core/users/", "name=Ann+Lee", "username", "ann"},
		{"core/users/", "is_active=false", "username", "off"},
		{"core/users/", "is_superuser=true", "username", "akadmin root"},
		{"core/users/", "type=external&type=service_account", "username", "ann"},
		{"core/users/", "path=other", "username", "off"},
		{"core/users/", "path_startswith=users/", "username", "ann"},
		{"core/users/", "groups_by_name=staff", "username", "plain"},
		{"core/users/", fmt.Sprintf("groups_by_pk=%v", staff), "username", "plain"},
		{"core/users/", "attributes=" + url.QueryEscape(`{"n":5}`), "username", "ann"},
		{"core/users/", "search=lee", "username", "ann"},
		{"core/users/", "last_login__isnull=false", "username", ""},
		{"core/users/", "ordering=-username&type=internal&page_size=2", "username", "root plain"},
		{"core/groups/", "name=staff", "name", "staff"},
		{"core/groups/", "is_superuser=true", "name", "authentik Admins,test admins"},
		{"core/groups/", fmt.Sprintf("members_by_pk=%d", e.plainPK), "name", "staff"},
		{"core/groups/", "members_by_username=plain", "name", "staff"},
		{"core/groups/", "attributes=" + url.QueryEscape(`{"site":"Bonn"}`), "name", "staff"},
		{"core/applications/", "slug=spa", "slug", "spa"},
		{"core/applications/", "group=Tools", "slug", "spa"},
		{"core/applications/", "meta_publisher=us", "slug", "spa"},
		{"core/applications/", "only_with_launch_url=true", "slug", "link"},
		{"core/applications/", "superuser_full_list=true&ordering=-name", "slug", "spa link"},
		{"core/tokens/", "identifier=pw", "identifier", "pw"},
		{"core/tokens/", "intent=app_password", "identifier", "pw"},
		{"core/tokens/", "user__username=plain", "identifier", "of-plain"},
		{"core/tokens/", "expiring=false&description=d", "identifier", "pw"},
		{"providers/oauth2/", "name=spa", "name", "spa"},
		{"providers/oauth2/", "client_id=web", "name", "web"},
		{"providers/oauth2/", "client_type=public", "name", "spa"},
		{"providers/oauth2/", "sub_mode=user_email", "name", "spa"},
		{"providers/oauth2/", "issuer_mode=global", "name", "spa"},
		{"providers/oauth2/", "include_claims_in_id_token=false", "name", "spa"},
		{"providers/oauth2/", fmt.Sprintf("signing_key=%v", pair["pk"]), "name", "spa"},
		{"providers/oauth2/", fmt.Sprintf("property_mappings=%v", mapping), "name", "spa"},
		{"providers/oauth2/", fmt.Sprintf("application=%v", app["pk"]), "name", "spa"},
		{"providers/proxy/", "name__iexact=GUARD", "name", "guard"},
		{"providers/proxy/", "mode__iexact=proxy", "name", ""},
		{"providers/proxy/", "application__isnull=false", "name", ""},
		{"providers/all/", "", "name", "spa web guard"},
		{"providers/all/", "application__isnull=true&ordering=-name", "name", "web guard"},
		{"providers/all/", "search=gua", "name", "guard"},
		{"crypto/certificatekeypairs/", "name=ec", "name", "ec"},
		{"crypto/certificatekeypairs/", "key_type=ec", "name", "ec"},
		{"crypto/certificatekeypairs/", "key_type=ec&key_type=rsa", "name", "authentik Self-signed Certificate,ec"},
		{"crypto/certificatekeypairs/", "has_key=false", "name", ""},
		{"propertymappings/provider/scope/", "scope_name=own", "name", "own"},
		{"propertymappings/provider/scope/", "managed__isnull=true", "name", "own"},
		{"propertymappings/provider/scope/", "managed=nothing", "name", ""},
		{"flows/instances/", "slug=default-provider-invalidation-flow", "slug", "default-provider-invalidation-flow"},
		{"flows/instances/", "designation=authentication", "slug", "default-authentication-flow"},
		{"flows/instances/", "designation=authorization&ordering=-slug", "slug", "default-provider-authorization-implicit-consent default-provider-authorization-explicit-consent"},
		{"flows/instances/", fmt.Sprintf("flow_uuid=%v", flows.invalidation), "slug", "default-provider-invalidation-flow"},
		{"flows/instances/", "name=nothing", "slug", ""},
		{"flows/instances/", "search=totp", "slug", "default-authenticator-totp-setup"},
	} {
		separator := " "
		if strings.Contains(v.want, ",") {
			separator = ","
		}
		if got := strings.Join(e.names(v.path+"?"+v.query, v.member), separator); got != v.want {
			t.Errorf("%s?%s: %q, want %q", v.path, v.query, got, v.want)
		}
	}
	for _, v := range []struct{ path, field, value string }{
		{"core/users/", "is_active", "maybe"}, {"core/users/", "uuid", "x"}, {"core/users/", "groups_by_pk", "x"}, {"core/users/", "attributes", "[1]"},
		{"core/users/", "date_joined__lt", "x"}, {"core/users/", "roles_by_pk", "x"}, {"core/groups/", "members_by_pk", "x"}, {"core/groups/", "is_superuser", "2"},
		{"core/applications/", "superuser_full_list", "x"}, {"core/applications/", "only_with_launch_url", "x"}, {"core/applications/", "for_user", "x"},
		{"providers/oauth2/", "signing_key", "x"}, {"providers/proxy/", "authorization_flow__slug__iexact", "x"}, {"providers/proxy/", "application__isnull", "x"},
		{"crypto/certificatekeypairs/", "has_key", "x"}, {"flows/instances/", "flow_uuid", "x"}, {"core/tokens/", "expires", "x"},
		{"core/users/", "username", strings.Repeat("x", 2000)}, {"core/users/", "username", "a\x00b"},
	} {
		e.refused("GET", v.path+"?"+url.Values{v.field: {v.value}}.Encode(), nil, v.field, "")
	}
	if n := len(e.names("core/users/?username=&is_active=&nonsense=x", "username")); n != 5 {
		t.Errorf("empty and unknown parameters narrow the list to %d", n)
	}
}

// TestEveryAnswerFits: lists and objects of every kind are of the published shape.
func TestEveryAnswerFits(t *testing.T) {
	e := open(t)
	flows := e.flows()
	g := e.want(201, "POST", "core/groups/", map[string]any{"name": "g", "users": []any{e.plainPK}})["pk"]
	child := e.want(201, "POST", "core/groups/", map[string]any{"name": "child", "parent": g})
	if child["parent"] != g || fmt.Sprint(child["parents"]) != fmt.Sprintf("[%v]", g) || child["parent_name"] != "g" {
		t.Errorf("parent and parents: %v", child)
	}
	p := e.want(201, "POST", "providers/oauth2/", flows.with(map[string]any{"name": "p", "redirect_uris": []any{}}))
	e.want(201, "POST", "core/applications/", map[string]any{"name": "a", "slug": "a", "provider": p["pk"]})
	e.want(201, "POST", "providers/proxy/", flows.with(map[string]any{"name": "x", "external_host": "https://x.test", "mode": "forward_single"}))
	e.want(201, "POST", "propertymappings/provider/saml/", map[string]any{"name": "m", "saml_name": "s", "expression": "return 1"})
	e.want(201, "POST", "propertymappings/provider/scim/", map[string]any{"name": "m", "expression": "return 1"})
	for path, v := range map[string][2]string{
		"core/users/": {"User", "pk"}, "core/groups/": {"Group", "pk"}, "core/groups/?include_parents=true&include_children=true&include_inherited_roles=true": {"Group", "pk"},
		"core/users/?include_groups=false&include_roles=false": {"User", "pk"},
		"core/applications/": {"Application", "slug"}, "core/tokens/": {"Token", "identifier"},
		"providers/oauth2/": {"OAuth2Provider", "pk"}, "providers/proxy/": {"ProxyProvider", "pk"}, "providers/all/": {"Provider", "pk"},
		"crypto/certificatekeypairs/": {"CertificateKeyPair", "pk"}, "crypto/certificatekeypairs/?include_details=false": {"CertificateKeyPair", "pk"},
		"propertymappings/provider/scope/": {"ScopeMapping", "pk"}, "propertymappings/provider/saml/": {"SAMLPropertyMapping", "pk"},
		"propertymappings/provider/scim/": {"SCIMMapping", "pk"}, "flows/instances/": {"Flow", "slug"},
	} {
		list := e.want(200, "GET", path, nil)
		e.fitsList(list, v[0])
		rows := list["results"].([]any)
		if len(rows) == 0 {
			t.Errorf("%s is empty", path)
		}
		base, _, _ := strings.Cut(path, "?")
		for _, row := range rows {
			id := row.(map[string]any)[v[1]]
			if number, isNumber := id.(float64); isNumber {
				id = int64(number)
			}
			e.fits(e.want(200, "GET", fmt.Sprintf("%s%v/", base, id), nil), v[0])
		}
	}
	pk := int64(p["pk"].(float64))
	e.fits(e.want(200, "GET", fmt.Sprintf("providers/oauth2/%d/setup_urls/", pk), nil), "OAuth2ProviderSetupURLs")
	e.fits(e.want(200, "GET", fmt.Sprintf("providers/oauth2/%d/preview_user/?for_user=%d", pk, e.plainPK), nil), "PropertyMappingPreview")
	e.fits(e.want(200, "GET", "core/applications/a/check_access/", nil), "PolicyTestResult")
	e.fits(e.want(200, "GET", "admin/version/", nil), "Version")
	e.fits(e.want(200, "GET", "core/users/me/", nil), "SessionUser")
	e.fits(e.send("", "GET", "root/config/", nil).object(t), "Config")
}

// a search that no database takes is refused, not an error of the server.
func TestLongSearch(t *testing.T) {
	e := open(t)
	for length, want := range map[int]int{1000: 200, 60000: 400} {
		if a := e.send(e.plain, "GET", "core/tokens/?search="+strings.Repeat("a", length), nil); a.status != want {
			t.Errorf("%d bytes: %d %.200s", length, a.status, a.body)
		}
	}
}
