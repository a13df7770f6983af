package caddymodule

import "github.com/postern-sso/postern/core"

// defaultMappings are the property mappings that every tenant starts with, by the names
// and managed ids that programs written for authentik look for.
func defaultMappings() []core.PropertyMapping {
	const (
		oauth = "authentik default OAuth Mapping: "
		saml  = "authentik default SAML Mapping: "
		scim  = "authentik default SCIM Mapping: "
		soap  = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
	)
	scope := func(managed, name, scopeName, description, expression string, claims ...string) core.PropertyMapping {
		return core.PropertyMapping{Kind: core.MappingScope, Managed: "goauthentik.io/providers/" + managed, Name: name,
			ScopeName: scopeName, Description: description, Expression: expression, Claims: claims}
	}
	attribute := func(managed, name, samlName, expression string) core.PropertyMapping {
		return core.PropertyMapping{Kind: core.MappingSAML, Managed: "goauthentik.io/providers/saml/" + managed,
			Name: saml + name, SAMLName: samlName, Expression: expression}
	}
	return []core.PropertyMapping{
		scope("oauth2/scope-openid", oauth+"OpenID 'openid'", "openid", "", "# The subject and its likes are always there.\nreturn {}\n"),
		scope("oauth2/scope-email", oauth+"OpenID 'email'", "email", "Email address",
			"return {\n    \"email\": request.user.email,\n    \"email_verified\": False,\n}\n", "email", "email_verified"),
		scope("oauth2/scope-profile", oauth+"OpenID 'profile'", "profile", "General Profile Information", `return {
    "name": request.user.name,
    "given_name": request.user.name,
    "preferred_username": request.user.username,
    "nickname": request.user.username,
    "groups": [group.name for group in request.user.ak_groups.all()],
}
`, "name", "given_name", "preferred_username", "nickname", "groups"),
		scope("oauth2/scope-entitlements", oauth+"Application Entitlements", "entitlements", "Application entitlements", `entitlements = [entitlement.name for entitlement in request.user.app_entitlements(provider.application)]
return {
    "entitlements": entitlements,
    "roles": entitlements,
}
`, "entitlements", "roles"),
		scope("oauth2/scope-offline_access", oauth+"OpenID 'offline_access'", "offline_access", "Access to request new tokens without interaction", "return {}\n"),
		scope("oauth2/scope-authentik_api", oauth+"authentik API access", "goauthentik.io/api", "authentik API Access on behalf of your user", "return {}\n"),
		scope("proxy/scope-proxy", oauth+"Proxy outpost", "ak_proxy", "authentik Proxy - User information", `return {
    "ak_proxy": {
        "user_attributes": request.user.group_attributes(request),
        "is_superuser": request.user.is_superuser,
    },
}
`, "ak_proxy"),

		attribute("upn", "UPN", soap+"upn", "return request.user.attributes.get(\"upn\", request.user.email)\n"),
		attribute("name", "Name", soap+"name", "return request.user.name\n"),
		attribute("email", "Email", soap+"emailaddress", "return request.user.email\n"),
		attribute("username", "Username", "http://schemas.goauthentik.io/2021/02/saml/username", "return request.user.username\n"),
		attribute("uid", "User ID", "http://schemas.goauthentik.io/2021/02/saml/uid", "return request.user.pk\n"),
		attribute("groups", "Groups", "http://schemas.xmlsoap.org/claims/Group", "for group in request.user.ak_groups.all():\n    yield group.name\n"),
		attribute("ms-windowsaccountname", "WindowsAccountname (Username)", "http://schemas.microsoft.com/ws/2008/06/identity/claims/windowsaccountname", "return request.user.username\n"),

		{Kind: core.MappingSCIM, Managed: "goauthentik.io/providers/scim/user", Name: scim + "User", Expression: `# Some services refuse a user without a given and a family name.
givenName, familyName = request.user.name, " "
formatted = request.user.name + " "
if " " in request.user.name:
    givenName, _, familyName = request.user.name.partition(" ")
    formatted = request.user.name

# photos takes addresses of the web only.
avatar = request.user.avatar
photos = None
if "://" in avatar:
    photos = [{"value": avatar, "type": "photo"}]

locale = request.user.locale()
if locale == "":
    locale = None

emails = []
if request.user.email != "":
    emails = [{
        "value": request.user.email,
        "type": "other",
        "primary": True,
    }]
return {
    "userName": request.user.username,
    "name": {
        "formatted": formatted,
        "givenName": givenName,
        "familyName": familyName,
    },
    "displayName": request.user.name,
    "photos": photos,
    "locale": locale,
    "active": request.user.is_active,
    "emails": emails,
}
`},
		{Kind: core.MappingSCIM, Managed: "goauthentik.io/providers/scim/group", Name: scim + "Group", Expression: "return {\n    \"displayName\": group.name,\n}\n"},
	}
}
