package outpost

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/cache"
)

// AppPasswords knows the app passwords that people made for programs.
type AppPasswords interface {
	// AppPassword is whose name and app password these are, and when it expires (zero: never):
	// core.ErrDenied for what is not good. It counts failures as the login page does, and a
	// wait above zero says that too many of them came before.
	AppPassword(ctx context.Context, name, password string) (u core.UserID, expires time.Time, wait time.Duration, err error)
}

// AccessTokens knows the access tokens of the OpenID Provider.
type AccessTokens interface {
	// UserOfProviders is whose access token it is, which a client of one of the providers
	// got, and when it is over: core.ErrDenied for one that is not good.
	UserOfProviders(ctx context.Context, token string, of []core.ProviderID) (core.UserID, time.Time, error)
}

const (
	// tokenUser is the user name under which a token stands in place of a password, for
	// programs that know HTTP Basic alone.
	tokenUser = "goauthentik.io/token" //nolint:gosec // a user name
	// admittedFor is how long it is remembered who a header is from.
	admittedFor      = time.Minute
	maxAuthorization = 16 << 10
	maxAdmitted      = 20_000 // in memory, over all tenants
)

// admitted is who a header was from. It holds for as long as nothing that could have ended it
// was changed; whether the person may go on is asked each time.
type admitted struct {
	user       core.UserID
	generation uint64
	until      time.Time
}

// credential is what a program sends in place of a cookie.
type credential struct {
	scheme, value string
	key           cache.Key // under which it is remembered
}

// credentialOf reads the Authorization header. More than one, or a scheme that is none of
// ours, is no credential.
func credentialOf(q Request, tg *target) (credential, bool) {
	given := q.HTTP.Header.Values("Authorization")
	if tg.proxy == nil || len(given) != 1 || len(given[0]) > maxAuthorization {
		return credential{}, false
	}
	scheme, value, _ := strings.Cut(given[0], " ")
	scheme, value = strings.ToLower(scheme), strings.TrimSpace(value)
	if value == "" || scheme != "basic" && scheme != "bearer" {
		return credential{}, false
	}
	sum := sha256.New()
	for _, part := range []string{string(q.Info.Tenant.ID), tg.clientID, scheme, value} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return credential{scheme, value, cache.Key{Tenant: q.Info.Tenant.ID, Hash: [32]byte(sum.Sum(nil))}}, true
}

// byHeader finds whom a credential stands for, from memory where it can. core.ErrDenied:
// nobody.
func (o *Outpost) byHeader(ctx context.Context, s *tenantState, tg *target, c credential) (core.UserID, time.Duration, error) {
	now, generation := o.Now(), s.credentials.Load()
	if a, ok := o.Cache.admitted.Get(c.key); ok && a.generation == generation && now.Before(a.until) {
		return a.user, 0, nil
	}
	until := now.Add(admittedFor)
	token := c.value
	if c.scheme == "basic" {
		raw, err := base64.StdEncoding.DecodeString(c.value)
		name, password, colon := strings.Cut(string(raw), ":")
		if err != nil || !colon {
			return "", 0, fmt.Errorf("not HTTP Basic: %w", core.ErrDenied)
		}
		if name != tokenUser {
			if o.AppPasswords == nil {
				return "", 0, fmt.Errorf("app passwords are not known: %w", core.ErrDenied)
			}
			user, expires, wait, err := o.AppPasswords.AppPassword(ctx, name, password)
			if !expires.IsZero() && expires.Before(until) {
				until = expires
			}
			if err == nil && wait == 0 {
				o.Cache.admitted.Set(c.key, admitted{user, generation, until})
			}
			return user, wait, err
		}
		token = password
	}
	if o.AccessTokens == nil || len(tg.proxy.FederationProviders) == 0 {
		return "", 0, fmt.Errorf("no provider's tokens are taken: %w", core.ErrDenied)
	}
	user, expires, err := o.AccessTokens.UserOfProviders(ctx, token, tg.proxy.FederationProviders)
	if err != nil {
		return "", 0, err
	}
	if expires.Before(until) {
		until = expires
	}
	o.Cache.admitted.Set(c.key, admitted{user, generation, until})
	return user, 0, nil
}

// headerLogin is the login that a credential stands for. A decision: the way in is closed, by too
// many failures or because the application wants no redirect in answer to a
// credential that is of no use.
func (o *Outpost) headerLogin(ctx context.Context, q Request, s *tenantState, tg *target) (*login, *Decision, error) {
	c, ok := credentialOf(q, tg)
	if !ok {
		return nil, o.useless(q, tg), nil
	}
	user, wait, err := o.byHeader(ctx, s, tg, c)
	switch {
	case errors.Is(err, core.ErrDenied), errors.Is(err, core.ErrNotFound):
		return nil, o.useless(q, tg), nil
	case err != nil:
		return nil, nil, fmt.Errorf("look at the Authorization header: %w", err)
	case wait > 0:
		d := refuse(http.StatusTooManyRequests, "too_many_attempts", "Too many attempts failed", "Wait before you try again.")
		d.Header = http.Header{"Retry-After": {strconv.Itoa(int(math.Ceil(wait.Seconds())))}}
		return nil, &d, nil
	}
	p, err := o.person(ctx, q.Info.Tenant.ID, s, user)
	if errors.Is(err, core.ErrNotFound) {
		return nil, o.useless(q, tg), nil
	}
	if err != nil {
		return nil, nil, err
	}
	return &login{person: p, credential: &c}, nil, nil
}

// useless refuses a request whose Authorization header opens nothing. Nil: it is answered as
// one without, which is the application's to choose (intercept_header_auth).
func (o *Outpost) useless(q Request, tg *target) *Decision {
	if tg.proxy == nil || !tg.proxy.InterceptHeaderAuth || len(q.HTTP.Header.Values("Authorization")) == 0 {
		return nil
	}
	d := refuse(http.StatusUnauthorized, "invalid_credentials", "This does not let you in", "The Authorization header is of no use here: send a user name with an app password, or a token that this application takes.")
	d.Header = http.Header{"Www-Authenticate": {`Basic realm="` + realm(tg.app.Slug) + `", charset="UTF-8"`}}
	return &d
}

func realm(slug string) string { return strings.NewReplacer(`"`, "", `\`, "").Replace(slug) }

// unlessDenied is nil for what is an answer.
func unlessDenied(err error) error {
	if errors.Is(err, core.ErrDenied) || errors.Is(err, core.ErrNotFound) {
		return nil
	}
	return err
}
