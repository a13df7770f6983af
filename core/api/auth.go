package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// authenticate finds who asks. A wrong token is refused even where a session
// would do, and on public routes too: who sends one wants to be known by it.
func (c *call) authenticate() error {
	if c.route.access == tenantsKey {
		return c.byTenantsKey()
	}
	if header := c.r.Header.Values("Authorization"); len(header) > 0 {
		if len(header) > 1 {
			return errToken
		}
		return c.byToken(header[0])
	}
	return c.bySession()
}

// byToken takes "Bearer <key>" (RFC 6750 §2.1), the key being that of a token of
// intent "api", or an access token of the scope core.ScopeAPI. Nothing else opens the
// API: no ID token, no session key, no app password.
func (c *call) byToken(header string) error {
	scheme, key, _ := strings.Cut(header, " ")
	key = strings.TrimSpace(key)
	if !strings.EqualFold(scheme, "Bearer") {
		return errScheme
	}
	if key == "" {
		return errToken
	}
	token, err := c.Store.TokenByKey(c.ctx(), c.t, core.Hash(key))
	if errors.Is(err, core.ErrNotFound) {
		return c.byAccessToken(key)
	}
	if err != nil {
		return err
	}
	if token.Intent != core.IntentAPI || token.Expired(c.Now()) {
		return errToken
	}
	return c.as(token.User)
}

// byAccessToken takes an access token of the OpenID Provider that was granted the
// scope core.ScopeAPI. No other scope will do, and no other kind of token.
func (c *call) byAccessToken(token string) error {
	if c.AccessTokens == nil || !strings.Contains(token, ".") {
		return errToken
	}
	user, err := c.AccessTokens.UserOfToken(c.ctx(), token, core.ScopeAPI)
	if errors.Is(err, core.ErrDenied) {
		return errToken
	}
	if err != nil {
		return err
	}
	return c.as(user.ID)
}

// bySession takes the browser's login. No session is no error: the route decides.
func (c *call) bySession() error {
	if c.Sessions == nil {
		return nil
	}
	session, err := c.Sessions.Current(c.r)
	if errors.Is(err, core.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if session.Parent != "" {
		return nil // it is good for one guarded application, and not for us
	}
	if !c.sameOrigin() {
		return errCrossOrigin
	}
	if err := c.as(session.User); err != nil {
		if errors.Is(err, errToken) {
			return nil // a user who is gone or not active is nobody
		}
		return err
	}
	c.session = session
	return nil
}

// as makes u the one who asks, where the user is still there and active.
func (c *call) as(u core.UserID) error {
	user, err := c.Store.User(c.ctx(), c.t, u)
	if errors.Is(err, core.ErrNotFound) {
		return errToken
	}
	if err != nil {
		return err
	}
	if !user.Active {
		return errToken
	}
	groups, err := c.Store.UserGroups(c.ctx(), c.t, u)
	if err != nil {
		return err
	}
	c.user, c.groups, c.super = user, groups, core.IsSuperuser(groups)
	if c.super {
		c.rights = core.Rights{Superuser: true}
		return nil
	}
	if len(user.Roles) > 0 || slices.ContainsFunc(groups, func(g core.Group) bool { return len(g.Roles) > 0 }) {
		if c.rights, err = c.Store.Rights(c.ctx(), c.t, u); err != nil {
			return err
		}
	}
	// From here on the store holds every write to these rights.
	c.delegation = &core.Delegation{By: u}
	c.r = c.r.WithContext(core.WithDelegation(c.ctx(), c.delegation))
	return nil
}

// sameOrigin reports whether a request that carries the browser's cookie may
// change something: the browser says that a page of our own origin sent it
// (Sec-Fetch-Site, or Origin from browsers that do not send it), or it has the
// header X-authentik-CSRF, which no other origin can set without asking first,
// and we never agree (Fetch §4.8, CORS-preflight).
func (c *call) sameOrigin() bool {
	switch c.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	h := c.r.Header
	if origin := h.Get("Origin"); origin != "" && !strings.EqualFold(origin, c.info.Origin()) {
		return false
	}
	if site := h.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	return h.Get("Origin") != "" || h.Get("X-authentik-CSRF") != ""
}

// permit checks the route's access. Where its right is given on some objects only, the
// resource asks for each (see mayOn); a write for which it did not is refused by the store.
func (c *call) permit(rt *route) error {
	a := rt.access
	switch {
	case a == public || a == tenantsKey:
		return nil
	case c.user == nil:
		return errAnonymous
	case a == superusers && !c.super:
		return errPermission
	case a == superusers || a == loggedIn:
		return nil
	}
	if p := core.Permission(a); rt.objects && !c.may(p) && len(c.rights.On(p)) > 0 {
		c.single = p
		c.delegation.Needs = append(c.delegation.Needs, p)
		return nil
	}
	return c.require(core.Permission(a))
}

// mayOn reports whether the one who asks has the route's right on an object, and lets the
// store look for it at the write.
func (c *call) mayOn(object string) bool {
	if c.single == "" {
		return true // on all of them
	}
	if !c.rights.HasOn(c.single, object) {
		return false
	}
	c.delegation.Needs = slices.DeleteFunc(c.delegation.Needs, func(p core.Permission) bool { return p == c.single })
	c.delegation.NeedsOn = append(c.delegation.NeedsOn, core.ObjectRight{Permission: c.single, Object: object})
	return true
}

// may reports whether the one who asks has a permission.
func (c *call) may(p core.Permission) bool { return c.rights.Has(p) }

// require refuses who has not a permission, now or at the time of the write.
func (c *call) require(p core.Permission) error {
	if !c.may(p) {
		return errPermission
	}
	if c.delegation != nil {
		c.delegation.Needs = append(c.delegation.Needs, p)
	}
	return nil
}

// requireOn is require for a permission on one object.
func (c *call) requireOn(p core.Permission, object string) error {
	if c.may(p) {
		return c.require(p)
	}
	if !c.rights.HasOn(p, object) {
		return errPermission
	}
	c.delegation.NeedsOn = append(c.delegation.NeedsOn, core.ObjectRight{Permission: p, Object: object})
	return nil
}

// refuseAbove refuses what would let the one who asks act as a user with more rights.
func (c *call) refuseAbove(u core.UserID) error {
	if c.super || u == c.user.ID {
		return nil
	}
	theirs, err := c.Store.Rights(c.ctx(), c.t, u)
	if err != nil {
		return err
	}
	if !theirs.Within(c.rights) {
		return errBeyond
	}
	return nil
}
