package expression

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"github.com/postern-sso/postern/core"
)

// Tokens signs what ak_create_jwt and ak_create_jwt_raw make: the OpenID Provider. What
// the author of an expression can put right is a *core.FieldError, whose message holds no
// value that an expression read.
type Tokens interface {
	// CreateToken returns a signed JWT. It may run expressions itself, with the context
	// that it was given: they spend the budget of the one that asked.
	CreateToken(ctx context.Context, t core.TenantID, want TokenWanted) (string, error)
}

// TokenWanted is one token that an expression asks for.
type TokenWanted struct {
	// Provider signs it; where it is nil, the one that ProviderName names.
	Provider     core.Provider
	ProviderName string
	Validity     time.Duration
	// User is whom an access token is about, with these scopes. Nil: Claims are all that the token
	// says, but for issuer and times.
	User   *core.User
	Scopes []string
	Claims map[string]any
}

// createToken is ak_create_jwt(user, provider, scopes, validity="seconds=60"): an access token
// of another provider, for the user. As in authentik it is None where nobody logs in.
func createToken(r *run, a *args) starlark.Value {
	b := a.bind(3, "user", "provider", "scopes", "validity")
	want := r.wanted(a, b[1], b[3])
	if want.User = asUser(b[0]).user; want.User == nil {
		fail("ak_create_jwt(): there is no user to make a token for")
	}
	scopes, ok := r.toGo(b[2], 0).([]any)
	if !ok {
		fail("ak_create_jwt(): scopes must be a list of strings, not %s", quote(typeName(b[2])))
	}
	want.Scopes = []string{}
	for _, s := range scopes {
		text, ok := s.(string)
		if !ok {
			fail("ak_create_jwt(): scopes must be a list of strings")
		}
		want.Scopes = append(want.Scopes, text)
	}
	return r.token(a.name, want)
}

// createRawToken is ak_create_jwt_raw(provider, validity="seconds=60", **claims): a token that says
// what the names say.
func createRawToken(r *run, a *args) starlark.Value {
	var known []starlark.Tuple
	claims := map[string]any{}
	for _, pair := range a.kw {
		switch name, _ := starlark.AsString(pair[0]); name {
		case "provider", "validity":
			known = append(known, pair)
		default:
			claims[name] = r.toGo(pair[1], 0)
		}
	}
	b := (&args{r: r, name: a.name, pos: a.pos, kw: known}).bind(1, "provider", "validity")
	want := r.wanted(a, b[0], b[1])
	want.Claims = claims
	return r.token(a.name, want)
}

// wanted reads what both functions take.
func (r *run) wanted(a *args, provider, validity starlark.Value) TokenWanted {
	if r.policy != nil {
		fail("%s is not available: policies decide, and only property mappings make tokens", a.name)
	}
	// Who may write a mapping is decided by whether the name stands in it: a function that was
	// handed to it, as the result of a policy, is none that it may call.
	if !strings.Contains(r.source.src, a.name) {
		fail("%s is not available: the mapping itself must name it", a.name)
	}
	want := TokenWanted{}
	switch v := provider.(type) {
	case starlark.String:
		want.ProviderName = string(v)
	case *object:
		want.Provider, _ = v.data.(core.Provider)
	}
	if want.Provider == nil && want.ProviderName == "" {
		fail("%s(): provider must be a provider or the name of one, not %s", a.name, quote(typeName(provider)))
	}
	var err error
	if want.Validity, err = core.Timedelta(a.text(validity, "validity", "seconds=60")).Duration(); err != nil {
		fail("%s(): validity must be a length of time, such as \"minutes=5\"", a.name)
	}
	return want
}

func (r *run) token(name string, want TokenWanted) starlark.Value {
	if r.jwts++; r.jwts > maxJWTs {
		fail("%s() is called more than %d times", name, maxJWTs)
	}
	if r.env.Tokens == nil {
		return starlark.None
	}
	r.charge(chargeToken)
	var token string
	var field *core.FieldError
	r.askOther("make a token", func() (err error) {
		token, err = r.env.Tokens.CreateToken(context.WithValue(r.ctx, outerKey{}, r), r.tenant, want)
		if errors.As(err, &field) {
			return nil
		}
		return err
	})
	if field != nil {
		fail("%s(): %s: %s", name, field.Field, field.Message)
	}
	r.check()
	r.alloc(len(token))
	return starlark.String(token)
}

// outerKey finds, in a context, the run on whose behalf another one is made.
type outerKey struct{}

// within runs a program as a part of the run that asked for it: in the same place, from the same budget.
// It would else wait for a place in a lane that the outer one has.
func (r *run) within(outer *run) (done func()) {
	start := r.start
	r.budget, r.thread.Steps = outer.budget, outer.thread.Steps
	r.start, r.yielded = start, 0
	return func() {
		start, yielded := outer.start, outer.yielded
		outer.budget, outer.thread.Steps = r.budget, r.thread.Steps
		outer.start, outer.yielded = start, yielded
		if r.stopped != nil && outer.stopped == nil {
			outer.stopped = r.stopped
		}
	}
}
