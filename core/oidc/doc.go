// Package oidc is the OpenID Provider: the server side of OAuth 2.0 (RFC 6749,
// with the Security Best Current Practice, RFC 9700) and OpenID Connect Core 1.0,
// at the addresses below /application/o/.
//
// The authorization code flow, in the order of its side effects:
//
//  1. The edge states scheme, host and tenant of the request (core.Request);
//     nothing here reads Host or X-Forwarded-* again. The issuer follows from them.
//  2. authorize.go finds the client and compares the redirect URI (redirect.go).
//     What is wrong up to here is a page. Then it checks everything else; what is
//     wrong from here on is sent to the redirect URI (respond.go).
//  3. request.go seals the checked request. Login.Require shows pages until there
//     is a session that is fresh enough, and the browser comes back with the
//     sealed request, so that nothing can be changed on the way and several tabs and
//     nodes do not disturb each other. Nothing was written so far, but a request
//     that is too long for a URL.
//  4. decide.go asks policy.Engine. A denial is an event with its trace, and a
//     page that names it.
//  5. consent.go asks the person, where the flow or the request wants it, and
//     saves the Consent.
//  6. grant.go saves the Grant, then the Code by its hash with the PKCE challenge,
//     and an event; the browser is sent to the client.
//  7. token.go authenticates the client (client.go) and only then runs the
//     handler of the grant type: token_code.go or token_refresh.go.
//  8. The code is read with its Grant and checked: whoever holds it and gets anything
//     wrong has burned it, and a second use revokes the Grant.
//  9. claims.go runs the mappings of the granted scopes; issue.go signs the access
//     token and the ID token with the client's key.
//  10. One transaction, the last step before the answer, uses the code up in one statement,
//     saves the refresh token by its hash, where there is one, and the event. Of two
//     that came this far with one code, one gets an answer.
//
// An access token is a JWT whose jti names its Grant. Wherever one is taken
// (access.go) the signature, the grant, the login it names and the policy are
// checked, so that what is revoked stops working at once.
//
// Refresh tokens rotate. One that is used again within three seconds, while its
// successor is still unused, gets the same answer as before; after that its whole
// family is revoked.
//
// A login that ends takes the access tokens that name it along. Refresh tokens
// go on, as their scope offline_access says; what they give then names no login.
//
// guarded.go runs the same steps for an outpost in this process, whose
// applications need no client.
package oidc
