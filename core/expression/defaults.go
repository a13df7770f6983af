package expression

import "github.com/postern-sso/postern/core"

// Defaults are the property mappings that every tenant begins with, under authentik's
// managed names, so that what is declared for authentik finds them. ID, Claims and the
// times are for storage to fill in.
func Defaults() []core.PropertyMapping {
	return append(append(defaultScopes(), defaultSAML()...), defaultSCIM()...)
}

func defaultScopes() []core.PropertyMapping {
	scope := func(managed, name, scope, description, expression string) core.PropertyMapping {
		return core.PropertyMapping{
			Kind: core.MappingScope, Managed: "goauthentik.io/providers/" + managed, Name: "authentik default OAuth Mapping: " + name,
			ScopeName: scope, Description: description, Expression: expression,
		}
	}
	return []core.PropertyMapping{
		scope("oauth2/scope-openid", "OpenID 'openid'", "openid", "", `# OpenID Connect demands this scope. It releases nothing by itself: sub and its like
# are always there.
return {}
`),
		scope("oauth2/scope-email", "OpenID 'email'", "email", "Email address", `return {
    "email": request.user.email,
    # True once this tenant has proof that the address is the user's own.
    "email_verified": request.user.email_verified,
}
`),
		scope("oauth2/scope-profile", "OpenID 'profile'", "profile", "General Profile Information", `return {
    # One field holds the whole name, so it serves as the given name too. To split
    # it, see request.user.name.partition(" ").
    "name": request.user.name,
    "given_name": request.user.name,
    "preferred_username": request.user.username,
    "nickname": request.user.username,
    # Not of the specification, but many applications read it. Direct groups only.
    "groups": [group.name for group in request.user.ak_groups.all()],
}
`),
		scope("oauth2/scope-entitlements", "Application Entitlements", "entitlements", "Application entitlements", `names = [entitlement.name for entitlement in request.user.app_entitlements(provider.application)]
return {
    "entitlements": names,
    "roles": names,
}
`),
		scope("oauth2/scope-offline_access", "OpenID 'offline_access'", "offline_access", "Access to request new tokens without interaction", `# Whoever has this scope gets a refresh token.
return {}
`),
		scope("oauth2/scope-authentik_api", "authentik API access", "goauthentik.io/api", "Access to the API on your behalf", `# An access token with this scope opens the API as its user.
return {}
`),
		scope("proxy/scope-proxy", "Proxy outpost", "ak_proxy", "User information for the outpost", `# For the outpost: attributes that become HTTP Basic credentials, and who is an
# administrator.
return {
    "ak_proxy": {
        "user_attributes": request.user.group_attributes(request),
        "is_superuser": request.user.is_superuser,
    }
}
`),
	}
}

func defaultSAML() []core.PropertyMapping {
	saml := func(managed, name, attribute, expression string) core.PropertyMapping {
		return core.PropertyMapping{
			Kind: core.MappingSAML, Managed: "goauthentik.io/providers/saml/" + managed, Name: "authentik default SAML Mapping: " + name,
			SAMLName: attribute, Expression: expression,
		}
	}
	const claims = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
	return []core.PropertyMapping{
		saml("upn", "UPN", claims+"upn", "return request.user.attributes.get(\"upn\", request.user.email)\n"),
		saml("name", "Name", claims+"name", "return request.user.name\n"),
		saml("email", "Email", claims+"emailaddress", "return request.user.email\n"),
		saml("username", "Username", "http://schemas.goauthentik.io/2021/02/saml/username", "return request.user.username\n"),
		saml("uid", "User ID", "http://schemas.goauthentik.io/2021/02/saml/uid", "return request.user.pk\n"),
		saml("groups", "Groups", "http://schemas.xmlsoap.org/claims/Group", "for group in request.user.ak_groups.all():\n    yield group.name\n"),
		saml("ms-windowsaccountname", "WindowsAccountname (Username)",
			"http://schemas.microsoft.com/ws/2008/06/identity/claims/windowsaccountname", "return request.user.username\n"),
	}
}

func defaultSCIM() []core.PropertyMapping {
	return []core.PropertyMapping{
		{
			Kind: core.MappingSCIM, Managed: "goauthentik.io/providers/scim/user", Name: "authentik default SCIM Mapping: User",
			Expression: `# Some services demand both a given and a family name. The name is split at its
# first space; without one, the family name is a space.
given, _, family = request.user.name.partition(" ")
formatted = request.user.name
if " " not in formatted:
    family = " "
    formatted = formatted + " "

avatar = request.user.avatar
photos = None
if "://" in avatar:
    photos = [{"value": avatar, "type": "photo"}]

emails = []
if request.user.email:
    emails = [{"value": request.user.email, "type": "other", "primary": True}]

return {
    "userName": request.user.username,
    "name": {
        "formatted": formatted,
        "givenName": given,
        "familyName": family,
    },
    "displayName": request.user.name,
    "photos": photos,
    "locale": request.user.locale() or None,
    "active": request.user.is_active,
    "emails": emails,
}
`,
		},
		{
			Kind: core.MappingSCIM, Managed: "goauthentik.io/providers/scim/group", Name: "authentik default SCIM Mapping: Group",
			Expression: `return {
    "displayName": group.name,
}
`,
		},
	}
}
