package oidc

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// userinfo answers with the claims of the scopes that were granted (OpenID
// Connect Core §5.3). They are worked out anew: a group that was left is gone.
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	if p.preflight(w, r) {
		return
	}
	ctx := r.Context()
	token, err := bearer(r)
	if err != nil {
		p.refuseBearer(w, r, err)
		return
	}
	at, err := p.readAccessToken(ctx, token)
	if err != nil {
		p.refuseBearer(w, r, err)
		return
	}
	allowOrigins(w, r, at.target.client)
	if !slices.Contains(at.scopes, scopeOpenID) {
		p.refuseBearer(w, r, &Error{Code: codeInsufficientScope, Status: http.StatusForbidden, Description: "The access token has no scope openid."})
		return
	}
	claims, err := p.mappedClaims(ctx, at.target, at.user, at.groups, at.scopes, mint{Provider: p, grant: at.grant, bound: at.claims["sid"] != nil, again: true})
	if err != nil {
		p.refuseBearer(w, r, err)
		return
	}
	claims["sub"] = subject(at.target.client.SubMode, at.user, core.Request(ctx).Tenant.UUID)
	if at.grant.Nonce != "" {
		claims["nonce"] = at.grant.Nonce
	}
	p.writeJSON(w, r, http.StatusOK, claims)
}

// errNoToken: no token was sent at all, so the answer names no error (RFC 6750
// §3.1).
var errNoToken = errors.New("no access token was sent")

// bearer finds the access token: in the header, or in the body of a form (RFC
// 6750 §2). One in the query would be in every log and every Referer (RFC 9700
// §4.3.2), so it is refused.
func bearer(r *http.Request) (string, error) {
	found := ""
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", invalidRequest("The Authorization header is given more than once.")
	}
	if len(headers) == 1 {
		scheme, token, _ := strings.Cut(headers[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", errNoToken
		}
		if found = strings.TrimSpace(token); found == "" {
			return "", errToken
		}
	}
	if r.URL.Query().Has("access_token") {
		return "", invalidRequest("The access token must not be in the query; send it in the Authorization header.")
	}
	if r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		in, err := form(r)
		if err == nil {
			err = in.err()
		}
		if err != nil {
			return "", err
		}
		if token := in.get("access_token"); token != "" {
			if found != "" {
				return "", invalidRequest("The access token is sent in two ways; it must be one.")
			}
			found = token
		}
	}
	if found == "" {
		return "", errNoToken
	}
	return found, nil
}

// refuseBearer answers as RFC 6750 §3: the error is in the header, the body is
// empty.
func (p *Provider) refuseBearer(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errNoToken) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="userinfo"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if errors.Is(err, errToken) {
		err = &Error{Code: codeInvalidToken, Status: http.StatusUnauthorized, Description: "The access token is not valid, has expired, or was revoked."}
	}
	e := p.protocolError(r.Context(), "userinfo", err)
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	if status < 500 {
		w.Header().Set("WWW-Authenticate", `Bearer realm="userinfo", error="`+e.Code+`", error_description="`+e.Description+`"`)
	}
	w.WriteHeader(status)
}
