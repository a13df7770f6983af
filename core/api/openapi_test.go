package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/api/apitest"
)

// contract is the document, which is the same for every handler of a version.
var contract = sync.OnceValues(func() (*apitest.Contract, error) {
	return apitest.New((&api.Handler{Version: "1.2.3"}).Document())
})

// conforms fails the test where a request or its answer is not as the document
// says. Every call of the tests goes through here.
func (e *env) conforms(r *http.Request, body []byte, a answer) {
	e.Helper()
	c, err := contract()
	e.must(err)
	if err := c.Check(exchange(r, body, a, e.lenient)); err != nil {
		e.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
}

func exchange(r *http.Request, body []byte, a answer, lenient bool) apitest.Exchange {
	return apitest.Exchange{
		Method: r.Method, URL: r.URL, Header: r.Header, Body: body,
		Status: a.status, Answer: a.header, Result: a.body, Lenient: lenient,
	}
}

// undescribed are routes of the table that the document has not, or has under a
// name that is taken.
func undescribed(c *apitest.Contract, operations []api.Operation) []string {
	var out []string
	met := map[string]bool{}
	for _, op := range operations {
		item := c.Document.Paths.Value("/" + op.Path)
		if item == nil || item.GetOperation(op.Method) == nil {
			out = append(out, op.Method+" "+op.Path+" is not in the document")
			continue
		}
		described := item.GetOperation(op.Method)
		if described.OperationID != op.ID || met[op.ID] || described.Summary == "" || described.Responses.Len() < 3 {
			out = append(out, fmt.Sprintf("%s %s: %q is taken, or says too little", op.Method, op.Path, described.OperationID))
		}
		met[op.ID] = true
	}
	if c.Document.Paths.Len() == 0 || len(met) != countOperations(c) {
		out = append(out, "the document has operations that the table has not")
	}
	return out
}

func countOperations(c *apitest.Contract) int {
	n := 0
	for _, item := range c.Document.Paths.Map() {
		n += len(item.Operations())
	}
	return n
}

// TestDocument: the document is valid OpenAPI, and has every route once, under the
// name that clients know.
func TestDocument(t *testing.T) {
	c, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	operations := (&api.Handler{}).Operations()
	for _, m := range undescribed(c, operations) {
		t.Error(m)
	}
	ids := map[string]string{}
	for _, op := range operations {
		ids[op.ID] = op.Method + " " + op.Path
	}
	// Names of authentik's document, by hand.
	for id, want := range map[string]string{
		"root_config_retrieve": "GET root/config/", "providers_oauth2_list": "GET providers/oauth2/",
		"providers_oauth2_partial_update": "PATCH providers/oauth2/{id}/", "providers_oauth2_setup_urls_retrieve": "GET providers/oauth2/{id}/setup_urls/",
		"providers_proxy_destroy": "DELETE providers/proxy/{id}/", "core_applications_check_access_retrieve": "GET core/applications/{slug}/check_access/",
		"core_applications_set_icon_url_create": "POST core/applications/{slug}/set_icon_url/", "core_users_service_account_create": "POST core/users/service_account/",
		"core_groups_add_user_create": "POST core/groups/{group_uuid}/add_user/", "core_groups_update": "PUT core/groups/{group_uuid}/",
		"propertymappings_provider_scope_create": "POST propertymappings/provider/scope/", "flows_instances_retrieve": "GET flows/instances/{slug}/",
		"crypto_certificatekeypairs_view_private_key_retrieve": "GET crypto/certificatekeypairs/{kp_uuid}/view_private_key/",
		"core_tokens_view_key_retrieve":                        "GET core/tokens/{identifier}/view_key/",
	} {
		if ids[id] != want {
			t.Errorf("%s is %s, want %s", id, ids[id], want)
		}
	}
	for _, name := range []string{
		"PaginatedUserList", "PatchedUserRequest", "UserRequest", "OAuth2ProviderRequest", "RedirectURIRequest", "PatchedScopeMappingRequest",
		"PaginatedCertificateKeyPairList", "CertificateGenerationRequest", "PropertyMappingPreview", "GenericError", "ValidationError", "Pagination",
	} {
		if c.Document.Components.Schemas[name] == nil {
			t.Errorf("there is no component %s", name)
		}
	}
	size := c.Document.Paths.Value("/core/users/").Get.Parameters.GetByInAndName("query", "page_size").Schema.Value
	if size.Max == nil || *size.Max != 500 || size.Default != 100.0 {
		t.Errorf("page_size: %v, default %v", size.Max, size.Default)
	}
	// The controls: a route that the document lacks, and an identifier that is twice.
	if undescribed(c, append(operations, api.Operation{Method: "GET", Path: "new/"})) == nil {
		t.Error("a route that is not in the document was not found")
	}
	if undescribed(c, append(operations, operations[0])) == nil {
		t.Error("an operation that is there twice was not found")
	}
	if _, err := apitest.New(bytes.Replace((&api.Handler{}).Document(), []byte(`"in":"path"`), []byte(`"in":"nowhere"`), 1)); err == nil {
		t.Error("a document that is not valid was taken")
	}
}

// TestUndescribedPanics: a route that does not say what it does is not built, nor one
// that reads a field in silence.
func TestUndescribedPanics(t *testing.T) {
	for name, build := range map[string]func(){"without a description": api.BuildUndescribed, "with a field that is not told": api.BuildUntold} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a route %s was built", name)
				}
			}()
			build()
		}()
	}
}

// TestContractControl: each kind of broken promise is found, so that the silence of
// every other test means something.
func TestContractControl(t *testing.T) {
	e := open(t)
	c, err := contract()
	e.must(err)
	r := e.request("POST", "core/groups/", nil)
	r.Header.Set("Content-Type", "application/json")
	body := []byte(`{"name":"g"}`)
	good := e.send(e.root, "POST", "core/groups/", string(body))
	check := func(spoil func(x *apitest.Exchange)) error {
		x := exchange(r, body, good, false)
		x.Answer = good.header.Clone()
		spoil(&x)
		return c.Check(x)
	}
	if err := check(func(*apitest.Exchange) {}); err != nil {
		t.Fatal(err)
	}
	replace := func(old, by string) func(*apitest.Exchange) {
		return func(x *apitest.Exchange) {
			if !bytes.Contains(x.Result, []byte(old)) {
				t.Fatalf("%s has no %s", x.Result, old)
			}
			x.Result = bytes.Replace(x.Result, []byte(old), []byte(by), 1)
		}
	}
	for name, spoil := range map[string]func(x *apitest.Exchange){
		"another status":      func(x *apitest.Exchange) { x.Status = 200 },
		"a member missing":    replace(`"num_pk"`, `"num"`),
		"a member more":       replace(`{`, `{"secret":"x",`),
		"another type":        replace(`"is_superuser":false`, `"is_superuser":"no"`),
		"null":                replace(`"children":[]`, `"children":null`),
		"no JSON":             func(x *apitest.Exchange) { x.Answer.Set("Content-Type", "text/html") },
		"a body taken":        func(x *apitest.Exchange) { x.Body = []byte(`{"name":""}`) },
		"a body without name": func(x *apitest.Exchange) { x.Body = []byte(`{}`) },
		"a path":              func(x *apitest.Exchange) { x.URL, _ = x.URL.Parse("/api/v3/core/nothing/") },
		"a refusal":           func(x *apitest.Exchange) { x.Status, x.Result = 403, []byte(`{"error":"no"}`) },
		"a body to no body": func(x *apitest.Exchange) {
			x.Method, x.Status = "DELETE", 204
			x.URL, _ = x.URL.Parse("/api/v3/core/groups/00000000-0000-7000-8000-000000000000/")
		},
	} {
		if check(spoil) == nil {
			t.Errorf("%s was not found", name)
		}
	}
}

// TestSchema: the document is there for everybody, in both forms, and need not be
// fetched twice.
func TestSchema(t *testing.T) {
	e := open(t)
	get := func(query string, header ...string) answer {
		r := e.request("GET", "schema/"+query, nil)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return e.serve(r)
	}
	inYAML, inJSON := get(""), get("?format=json")
	if a, err := apitest.New(inYAML.body); err != nil || a.Document.OpenAPI != "3.0.3" || a.Document.Info.Version != "1.2.3" {
		t.Errorf("YAML: %v", err)
	}
	read := func(data []byte) any {
		doc, err := openapi3.NewLoader().LoadFromData(data)
		e.must(err)
		data, err = doc.MarshalJSON()
		e.must(err)
		var out any
		e.must(json.Unmarshal(data, &out))
		return out
	}
	if !reflect.DeepEqual(read(inYAML.body), read(inJSON.body)) {
		t.Error("YAML and JSON differ")
	}
	const yaml, inJSONType = "application/vnd.oai.openapi", "application/vnd.oai.openapi+json"
	for _, v := range []struct{ query, accept, kind string }{
		{"", "", yaml}, {"", "*/*", yaml}, {"", "text/html,*/*;q=0.8", yaml}, {"?format=yaml", "application/json", yaml},
		{"?format=json", "", inJSONType}, {"", "application/json", inJSONType}, {"", inJSONType, inJSONType}, {"", "application/yaml;q=0.5, application/*;q=0.2, application/json;q=0.4", inJSONType},
	} {
		a := get(v.query, "Accept", v.accept)
		if a.status != 200 || a.header.Get("Content-Type") != v.kind || a.header.Get("Cache-Control") != "no-cache" || !strings.Contains(a.header.Get("Vary"), "Accept") {
			t.Errorf("schema/%s, Accept %q: %d %v", v.query, v.accept, a.status, a.header)
		}
		tag := a.header.Get("ETag")
		if again := get(v.query, "Accept", v.accept, "If-None-Match", `"other", W/`+tag); again.status != 304 || len(again.body) != 0 || again.header.Get("ETag") != tag {
			t.Errorf("schema/%s again: %d, %d bytes", v.query, again.status, len(again.body))
		}
	}
	if inYAML.header.Get("ETag") == inJSON.header.Get("ETag") || get("", "If-None-Match", `"other"`).status != 200 {
		t.Error("the tag does not tell documents apart")
	}
	e.refused("GET", "schema/?format=xml", nil, "format", "json, yaml")
}
