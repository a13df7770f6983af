package expression_test

import (
	"context"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

type fixedLook core.Look

func (l fixedLook) Look(context.Context, *core.Tenant, string) core.Look { return core.Look(l) }

// A request has its brand, and group_attributes(request) begins with the brand's attributes; nobody can
// write into what memory holds of it.
func TestBrandOfRequest(t *testing.T) {
	b := &core.Brand{Domain: "a.test", Logo: "/l.png", Attributes: map[string]any{"of": "brand", "list": []any{"brand"}}}
	q := &core.RequestInfo{Tenant: &core.Tenant{ID: "public", UUID: "u"}, Scheme: "https", Host: "a.test", URI: "/",
		Looks: fixedLook{Brand: b, Settings: core.DefaultSettings(), Title: "Sunflower"}}
	env := expression.Env{Request: q, Groups: []core.Group{}, User: &core.User{ID: "u1", UserName: "jo", Attributes: map[string]any{"of": "user", "list": []any{"user"}}}}
	e := &expression.Evaluator{}
	check(t, e, env, []want{
		{"[http_request.brand.branding_title, http_request.brand.domain, http_request.brand.branding_logo, http_request.brand.attributes['of']]", l{"Sunflower", "a.test", "/l.png", "brand"}},
		{"user.group_attributes(http_request)", m{"of": "user", "list": l{"brand", "user"}}},
		{"user.group_attributes(request.http_request)['list']", l{"brand", "user"}},
		{"user.group_attributes()", m{"of": "user", "list": l{"user"}}},
		{"user.group_attributes(request)", m{"of": "user", "list": l{"user"}}}, // a policy's request has none
		{"x = user.group_attributes(http_request)\nx['list'].append('more')\nreturn len(x['list'])", int64(3)},
	})
	if len(b.Attributes["list"].([]any)) != 1 {
		t.Errorf("an expression has changed the brand: %v", b.Attributes)
	}
}
