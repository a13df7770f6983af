package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/postern-sso/postern/core/api/apitest"
)

// openOperations are all that may be used by anybody. What joins them is a decision.
var openOperations = []string{"index_retrieve", "schema_retrieve", "root_config_retrieve", "core_brands_current_retrieve"}

// openByDocument walks the document that the server publishes: what it says of who
// may use an operation must be what the list says, and what the server does for
// nobody, and for a token of somewhere else.
func openByDocument(e *env, foreign string) []string {
	var out []string
	c, err := apitest.New(e.send("", "GET", "schema/", nil).body)
	e.must(err)
	for path, item := range c.Document.Paths.Map() {
		for method, op := range item.Operations() {
			open := slices.Contains(openOperations, op.OperationID)
			says := op.Security != nil && slices.ContainsFunc(*op.Security, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 })
			if says != open {
				out = append(out, fmt.Sprintf("%s: the document says open: %v, the list: %v", op.OperationID, says, open))
			}
			at := strings.TrimPrefix(path, "/")
			for _, p := range op.Parameters {
				if p.Value.In == "path" {
					at = strings.ReplaceAll(at, "{"+p.Value.Name+"}", "2147483647")
				}
			}
			e.forgiveWrongKeys()
			var body any
			if op.RequestBody != nil {
				body = map[string]any{}
			}
			if a := e.send("", method, at, body); (a.status != http.StatusForbidden) != open {
				out = append(out, fmt.Sprintf("%s for nobody: %d", op.OperationID, a.status))
			}
			// A token that is not ours is refused even where none is needed.
			if a := e.send(foreign, method, at, body); a.status != http.StatusForbidden {
				out = append(out, fmt.Sprintf("%s for another tenant's superuser: %d", op.OperationID, a.status))
			}
		}
	}
	return out
}

// only a list by hand is open, by the document and in fact; the token of
// another tenant's superuser opens nothing.
func TestDocumentAccess(t *testing.T) {
	e, other := open(t), open(t)
	if a := other.send(other.root, "GET", "core/users/", nil); a.status != 200 {
		t.Fatalf("the foreign token is no token: %d", a.status)
	}
	for _, m := range openByDocument(e, other.root) {
		t.Error(m)
	}
	// Controls: a route that is open by mistake, and a token that is not foreign.
	weak := open(t)
	weak.api.Weaken("GET", "core/users/", "public")
	if openByDocument(weak, other.root) == nil {
		t.Error("an open route was not found")
	}
	if openByDocument(e, e.root) == nil {
		t.Error("a token that opens the API was not found")
	}
}
