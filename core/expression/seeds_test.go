package expression_test

import (
	"reflect"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// Sources that people paste, from the documentation of authentik and of services that
// connect to it, word for word.
const (
	seedMinioPolicy = `return {
  "policy": "readwrite",
}
`
	seedMinioGroups = `if ak_is_group_member(request.user, name="Minio admins"):
  return {
    "policy": "consoleAdmin",
}
elif ak_is_group_member(request.user, name="Minio users"):
  return {
    "policy": ["readonly", "my-custom-policy"]
}
return None
`
	seedAWSRole      = `return "arn:aws:iam::123412341234:role/saml_role,arn:aws:iam::123412341234:saml-provider/authentik"`
	seedAWSGroupRole = `role_name = user.group_attributes().get("aws_role", "")
return f"arn:aws:iam::123412341234:role/{role_name},arn:aws:iam::123412341234:saml-provider/authentik"
`
	seedAWSRoles = `return [
"arn:aws:iam::123412341234:role/role_a,arn:aws:iam::123412341234:saml-provider/authentik",
"arn:aws:iam::123412341234:role/role_b,arn:aws:iam::123412341234:saml-provider/authentik",
"arn:aws:iam::123412341234:role/role_c,arn:aws:iam::123412341234:saml-provider/authentik",
]
`
	seedAWSSession = `return user.username
`
	seedAWSSCIM = `# This expression strips the default mapping from its 'photos' attribute,
# which is a forbidden property in AWS IAM.
return {
"photos": None,
}
`
)

func arn(role string) string {
	return "arn:aws:iam::123412341234:role/" + role + ",arn:aws:iam::123412341234:saml-provider/authentik"
}

func TestSeeds(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d}
	for _, c := range []struct {
		name, src, user string
		want            any
	}{
		{"minio policy", seedMinioPolicy, "jo", m{"policy": "readwrite"}},
		{"minio policy without a user", seedMinioPolicy, "", m{"policy": "readwrite"}},
		{"minio policy on one line", `return { "policy": "readwrite", }`, "jo", m{"policy": "readwrite"}},
		{"minio groups, admin", seedMinioGroups, "ada", m{"policy": "consoleAdmin"}},
		{"minio groups, user", seedMinioGroups, "jo", m{"policy": l{"readonly", "my-custom-policy"}}},
		{"minio groups, stranger", seedMinioGroups, "stranger", nil},
		{"minio groups, nobody", seedMinioGroups, "", nil},
		{"aws role", seedAWSRole, "jo", arn("saml_role")},
		// Staff sorts after "Minio users" and overwrites it.
		{"aws role by group", seedAWSGroupRole, "jo", arn("staff")},
		{"aws role by group, none", seedAWSGroupRole, "stranger", arn("")},
		{"aws roles", seedAWSRoles, "jo", l{arn("role_a"), arn("role_b"), arn("role_c")}},
		{"aws session name", seedAWSSession, "jo", "jo"},
		{"aws scim", seedAWSSCIM, "jo", m{"photos": nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := e.Check(c.src); err != nil {
				t.Fatal(err)
			}
			got, err := e.Eval(t.Context(), "public", c.src, d.env(t, c.user))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %#v (%v), want %#v", got, err, c.want)
			}
		})
	}
}

// TestAuthentikDefaults runs the shapes that authentik's own default mappings have in
// its various releases: splitting a name, generators, a token's session.
func TestAuthentikDefaults(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d}
	for _, c := range []struct {
		name, src, user string
		vars            map[string]any
		want            any
	}{
		{"name split at its first space", `
givenName, familyName = request.user.name, " "
formatted = request.user.name + " "
# a comment
if " " in request.user.name:
    givenName, _, familyName = request.user.name.partition(" ")
    formatted = request.user.name
return {"name": {"formatted": formatted, "givenName": givenName, "familyName": familyName}}
`, "jo", nil, m{"name": m{"formatted": "Jo Doe Smith", "givenName": "Jo", "familyName": "Doe Smith"}}},
		{"name of one word", `
givenName, familyName = request.user.name, " "
if " " in request.user.name:
    givenName, _, familyName = request.user.name.partition(" ")
return [givenName, familyName]
`, "ada", nil, l{"Ada", " "}},
		{"locale", `
locale = request.user.locale()
if locale == "":
    locale = None
return locale
`, "jo", nil, "de"},
		{"no locale", "locale = request.user.locale()\nif locale == \"\":\n    locale = None\nreturn locale", "ada", nil, nil},
		{"avatar", `
avatar = request.user.avatar
photos = []
if "://" in avatar:
    photos = [{"value": avatar, "type": "photo"}]
return photos
`, "jo", nil, l{}},
		{"emails appended", `
emails = []
if request.user.email != "":
    emails.append({
        "value": request.user.email,
        "type": "other",
        "primary": True,
    })
return emails
`, "jo", nil, l{m{"value": "jo@example.test", "type": "other", "primary": true}}},
		{"session of the token", `
session_id = None
if "token" in request.context:
    session_id = request.context.get("token").session_id
return {
    "sid": session_id,
    "ak_proxy": {
        "user_attributes": request.user.group_attributes(request),
        "is_superuser": request.user.is_superuser,
    }
}
`, "ada", map[string]any{"token": expression.Object{Type: "AccessToken", Attributes: map[string]any{"session_id": "s1"}}},
			m{"sid": "s1", "ak_proxy": m{"user_attributes": m{"aws_role": "admins"}, "is_superuser": true}}},
		{"no token", "if \"token\" in request.context:\n    return 1\nreturn 0", "ada", nil, int64(0)},
		{"upn in single quotes", "return request.user.attributes.get('upn', request.user.email)", "ada", nil, "ada@example.test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := d.env(t, c.user)
			env.Vars = c.vars
			got, err := e.Eval(t.Context(), "public", c.src, env)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %#v (%v), want %#v", got, err, c.want)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d}
	client := &core.Client{ProviderBase: core.ProviderBase{ID: 7, Name: "minio"}, ClientID: "minio"}
	app := &core.Application{ID: "a1", Slug: "minio", Provider: 7}
	want := map[string]struct{ user, nobody any }{
		"goauthentik.io/providers/oauth2/scope-openid":         {m{}, m{}},
		"goauthentik.io/providers/oauth2/scope-email":          {m{"email": "jo@example.test", "email_verified": true}, m{"email": "", "email_verified": false}},
		"goauthentik.io/providers/oauth2/scope-profile":        {m{"name": "Jo Doe Smith", "given_name": "Jo Doe Smith", "preferred_username": "jo", "nickname": "jo", "groups": l{"Minio users"}}, m{"name": "", "given_name": "", "preferred_username": "", "nickname": "", "groups": l{}}},
		"goauthentik.io/providers/oauth2/scope-entitlements":   {m{"entitlements": l{}, "roles": l{}}, m{"entitlements": l{}, "roles": l{}}},
		"goauthentik.io/providers/oauth2/scope-offline_access": {m{}, m{}},
		"goauthentik.io/providers/oauth2/scope-authentik_api":  {m{}, m{}},
		"goauthentik.io/providers/proxy/scope-proxy": {m{"ak_proxy": m{"is_superuser": false, "user_attributes": m{
			"aws_role": "staff", "list": l{"u", "s", "u", "own"}, "deep": m{"a": "staff", "b": int64(1)}, "upn": "jo@corp", "settings": m{"locale": "de"}, "n": int64(5)}}},
			m{"ak_proxy": m{"is_superuser": false, "user_attributes": m{}}}},
		"goauthentik.io/providers/saml/upn":                   {"jo@corp", ""},
		"goauthentik.io/providers/saml/name":                  {"Jo Doe Smith", ""},
		"goauthentik.io/providers/saml/email":                 {"jo@example.test", ""},
		"goauthentik.io/providers/saml/username":              {"jo", ""},
		"goauthentik.io/providers/saml/uid":                   {int64(1), nil},
		"goauthentik.io/providers/saml/groups":                {l{"Minio users"}, l{}},
		"goauthentik.io/providers/saml/ms-windowsaccountname": {"jo", ""},
		"goauthentik.io/providers/scim/user": {m{"userName": "jo", "name": m{"formatted": "Jo Doe Smith", "givenName": "Jo", "familyName": "Doe Smith"}, "displayName": "Jo Doe Smith", "photos": nil, "locale": "de", "active": true, "emails": l{m{"value": "jo@example.test", "type": "other", "primary": true}}},
			m{"userName": "", "name": m{"formatted": " ", "givenName": "", "familyName": " "}, "displayName": "", "photos": nil, "locale": nil, "active": true, "emails": l{}}},
		"goauthentik.io/providers/scim/group": {m{"displayName": "Staff"}, m{"displayName": "Staff"}},
	}
	seen := map[string]bool{}
	for _, p := range expression.Defaults() {
		t.Run(p.Managed, func(t *testing.T) {
			seen[p.Managed] = true
			w, ok := want[p.Managed]
			if !ok {
				t.Fatal("no expectation for this default")
			}
			for user, want := range map[string]any{"jo": w.user, "": w.nobody} {
				env := d.env(t, user)
				env.Provider, env.Application, env.Mapping = client, app, &p
				env.Vars = map[string]any{"group": &d.groups[2]}
				got, err := e.Eval(t.Context(), "public", p.Expression, env)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("user %q: got %#v (%v), want %#v", user, got, err, want)
				}
			}
		})
	}
	if len(seen) != len(want) {
		t.Errorf("%d defaults, want %d", len(seen), len(want))
	}
	if d.calls.Load() > 100 {
		t.Errorf("the directory was asked %d times for what the environment holds", d.calls.Load())
	}
}
