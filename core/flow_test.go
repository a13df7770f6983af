package core_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

func TestFlowsAreStableAndPerTenant(t *testing.T) {
	const a, b = "0191c1de-0000-7000-8000-000000000001", "0191c1de-0000-7000-8000-000000000002"
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]string{}
	for _, tenant := range []string{a, b} {
		flows := core.Flows(tenant)
		if !slices.IsSortedFunc(flows, func(x, y core.Flow) int { return strings.Compare(x.Slug, y.Slug) }) {
			t.Error("flows are not ordered by slug")
		}
		for _, f := range flows {
			if !uuid.MatchString(f.ID) {
				t.Errorf("%s: %q is not a version 5 UUID", f.Slug, f.ID)
			}
			if other, ok := seen[f.ID]; ok {
				t.Errorf("%s and %s share the ID %s", f.Slug, other, f.ID)
			}
			seen[f.ID] = f.Slug
			got, ok := core.FlowByID(tenant, strings.ToUpper(f.ID))
			if !ok || got != f {
				t.Errorf("FlowByID(%s) = %v, %v", f.ID, got, ok)
			}
			if got, ok := core.FlowBySlug(tenant, f.Slug); !ok || got != f {
				t.Errorf("FlowBySlug(%s) = %v, %v", f.Slug, got, ok)
			}
		}
	}
	// Another tenant's ID names nothing here.
	other, _ := core.FlowBySlug(b, core.FlowImplicitConsent)
	if _, ok := core.FlowByID(a, other.ID); ok {
		t.Error("a flow of another tenant was found")
	}
	if _, ok := core.FlowBySlug(a, "nope"); ok {
		t.Error("an unknown slug was found")
	}
	// Objects refer to flows by ID: a change of how they are made breaks data.
	f, _ := core.FlowBySlug(a, core.FlowImplicitConsent)
	if want := "5c14bbfd-ec20-5f14-b4a0-d01f7fd9a9b2"; f.ID != want {
		t.Errorf("the ID of %s changed to %s", f.Slug, f.ID)
	}
}
