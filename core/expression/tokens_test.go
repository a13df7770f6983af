package expression_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// signer hears what is asked for, and answers with what is set.
type signer struct {
	asked []expression.TokenWanted
	sign  func(ctx context.Context) (string, error)
}

func (s *signer) CreateToken(ctx context.Context, _ core.TenantID, want expression.TokenWanted) (string, error) {
	s.asked = append(s.asked, want)
	if s.sign == nil {
		return "a.b.c", nil
	}
	return s.sign(ctx)
}

func TestCreateJWT(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet()}
	env := d.env(t, "jo")
	minio := &core.Client{ProviderBase: core.ProviderBase{ID: 7, Name: "minio"}, ClientID: "cid"}
	env.Provider = minio
	for src, want := range map[string]expression.TokenWanted{
		"ak_create_jwt(user, provider, ['openid', 'email'])":                                      {Provider: minio, Validity: time.Minute, User: &d.users[0], Scopes: []string{"openid", "email"}},
		"ak_create_jwt(user=request.user, provider='other', scopes=(), validity='minutes=5')":     {ProviderName: "other", Validity: 5 * time.Minute, User: &d.users[0], Scopes: []string{}},
		"ak_create_jwt(ak_user_by(username='ada'), 'other', ['a'], 'hours=1')":                    {ProviderName: "other", Validity: time.Hour, User: &d.users[1], Scopes: []string{"a"}},
		"ak_create_jwt_raw('other', 'seconds=1', sub=user.username, n=[1, {'a': None}], aud='x')": {ProviderName: "other", Validity: time.Second, Claims: m{"sub": "jo", "n": l{int64(1), m{"a": nil}}, "aud": "x"}},
		"ak_create_jwt_raw(validity='minutes=2', provider=provider)":                              {Provider: minio, Validity: 2 * time.Minute, Claims: m{}},
	} {
		s := &signer{}
		env.Tokens = s
		got, err := e.Eval(t.Context(), "public", "return "+src, env)
		if err != nil || got != "a.b.c" || len(s.asked) != 1 || !reflect.DeepEqual(s.asked[0], want) {
			t.Errorf("%s: %v, %v, asked for %+v, want %+v", src, got, err, s.asked, want)
		}
		env.Tokens = nil
		if got, err := e.Eval(t.Context(), "public", "return "+src, env); err != nil || got != nil {
			t.Errorf("%s with nobody to sign: %v, %v", src, got, err)
		}
	}
	s := &signer{}
	env.Tokens = s
	check(t, e, env, []want{
		{"ak_create_jwt(user, provider)", errors.New("needs the argument 'scopes'")},
		{"ak_create_jwt(None, provider, [])", errors.New("a user is needed here")},
		{"ak_create_jwt(user, None, [])", errors.New("provider must be a provider or the name of one, not 'NoneType'")},
		{"ak_create_jwt(user, user, [])", errors.New("provider must be a provider")},
		{"ak_create_jwt(user, '', [])", errors.New("provider must be a provider")},
		{"ak_create_jwt(user, provider, 'openid')", errors.New("scopes must be a list of strings, not 'str'")},
		{"ak_create_jwt(user, provider, [1])", errors.New("scopes must be a list of strings")},
		{"ak_create_jwt(user, provider, [], 'soon')", errors.New("validity must be a length of time")},
		{"ak_create_jwt(user, provider, [], 60)", errors.New("validity must be a string")},
		{"ak_create_jwt_raw()", errors.New("needs the argument 'provider'")},
		{"ak_create_jwt_raw(provider, 'minutes=1', 3)", errors.New("takes at most 2 arguments")},
		{"ak_create_jwt_raw(provider, x=len)", errors.New("function")},
	})
	if len(s.asked) > 0 {
		t.Errorf("%d wrong calls reached the signer", len(s.asked))
	}
	env.User = nil
	check(t, e, env, []want{{"ak_create_jwt(request.user, provider, [])", errors.New("there is no user to make a token for")}})
	check(t, e, env, []want{{"[ak_create_jwt_raw(provider) for x in range(4)]", errors.New("called more than 3 times")}})
}

// What is said of a failure names the field; what only the log may know stays there.
func TestCreateJWTFails(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet()}
	env := d.env(t, "jo")
	for text, err := range map[string]error{
		"ak_create_jwt_raw(): provider: there is none": &core.FieldError{Field: "provider", Message: "there is none"},
		"the directory could not be read":              errors.New("password of the database"),
	} {
		env.Tokens = &signer{sign: func(context.Context) (string, error) { return "", err }}
		check(t, e, env, []want{{"ak_create_jwt_raw('x')", errors.New(text)}})
		_, got := e.Eval(t.Context(), "public", "return ak_create_jwt_raw('x')", env)
		if got == nil || strings.Contains(got.Error(), "password") {
			t.Errorf("%v", got)
		}
	}
}

// Policies make no tokens, whoever calls them: what a called policy returns, its caller sees.
func TestPoliciesMakeNoTokens(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet(), Policies: named{"signs": "return ak_create_jwt(user, 'other', [])"}}
	env := d.env(t, "jo")
	s := &signer{}
	env.Tokens = s
	_, _, err := e.EvaluatePolicy(t.Context(), "public", "return ak_create_jwt(user, 'other', [])", env)
	if err == nil || !strings.Contains(err.Error(), "only property mappings make tokens") {
		t.Errorf("a policy: %v", err)
	}
	check(t, e, env, []want{{"ak_call_policy('signs').raw_result", errors.New("only property mappings make tokens")}})
	// What a policy hands over does not work where the mapping does not name it.
	for name, src := range map[string]string{
		"hands":   "return ak_create_jwt_raw",
		"wraps":   "return lambda provider: ak_create_jwt_raw(provider)",
		"defines": "def f(provider):\n    return ak_create_jwt_raw(provider)\nreturn f",
		"lists":   "return {'f': [ak_create_jwt_raw]}",
	} {
		e.Policies = named{name: src}
		call := "ak_call_policy('" + name + "').raw_result"
		if name == "lists" {
			call += "['f'][0]"
		}
		check(t, e, env, []want{{call + "('other')", errors.New("the mapping itself must name it")}})
		check(t, e, env, []want{{"sorted(['other'], key=" + call + ")", errors.New("the mapping itself must name it")}})
	}
	if len(s.asked) > 0 {
		t.Error("the signer was asked")
	}
	e.Policies = named{"hands": "return ak_create_jwt_raw"}
	check(t, e, env, []want{ // the controls
		{"ak_create_jwt(user, 'other', [])", "a.b.c"},
		{"[ak_call_policy('hands').raw_result('other'), 'ak_create_jwt_raw'][0]", "a.b.c"},
	})
}

type named map[string]string

func (n named) PolicyByName(_ context.Context, _ core.TenantID, name string) (*core.ExpressionPolicy, error) {
	if src, ok := n[name]; ok {
		return &core.ExpressionPolicy{Name: name, Expression: src}, nil
	}
	return nil, core.ErrNotFound
}

// What a token's own mappings run is a part of the run that asked for it: it takes no further place
// in a lane, and no budget of its own.
func TestTokensShareTheBudget(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet()}
	env := d.env(t, "jo")
	work := func(inner, outer string) (all int, err error) {
		s := &signer{sign: func(ctx context.Context) (string, error) {
			_, err := e.Eval(ctx, "public", inner, expression.Env{})
			return "t", err
		}}
		env.Tokens = s
		e.OnSpent(func(work, _ int, _ uint64) { all = work }) // the last to end is the outer one
		_, err = e.Eval(t.Context(), "public", outer, env)
		return all, err
	}
	// As many as there are places, and more: each holds one while it waits for what it asked for.
	done := make(chan error, 16)
	for range cap(done) {
		go func() {
			env := env
			env.Tokens = &signer{sign: func(ctx context.Context) (string, error) {
				_, err := e.Eval(ctx, "public", "return len('x' * 600000)", expression.Env{})
				return "t", err
			}}
			_, err := e.Eval(t.Context(), "public", "x = 'x' * 600000\nreturn ak_create_jwt_raw('x')", env)
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	small, err := work("return 1", "return ak_create_jwt_raw('x')")
	if err != nil {
		t.Fatal(err)
	}
	large, err := work("return sorted(range(2000))", "return ak_create_jwt_raw('x')")
	if err != nil || large < small+2000 {
		t.Errorf("what the inner one spent is not charged: %d and %d, %v", small, large, err)
	}
	bomb := "x = 'ab' * 1000\nfor i in range(100000): x.replace('a', 'b')"
	if _, err = work(bomb, "return ak_create_jwt_raw('x')"); !errors.Is(err, expression.ErrLimit) {
		t.Errorf("a bomb within: %v", err)
	}
	s := &signer{sign: func(ctx context.Context) (string, error) {
		_, _ = e.Eval(ctx, "public", bomb, expression.Env{})
		return "t", nil
	}}
	env.Tokens = s
	if _, err := e.Eval(t.Context(), "public", "ak_create_jwt_raw('x')\nak_create_jwt_raw('x')\nreturn 1", env); !errors.Is(err, expression.ErrLimit) || len(s.asked) != 1 {
		t.Errorf("after a bomb within, the outer one goes on: %v, asked %d times", err, len(s.asked))
	}
	s = &signer{sign: func(ctx context.Context) (string, error) { // ended, and not by what was counted
		over, end := context.WithCancel(ctx)
		end()
		_, _ = e.Eval(over, "public", bomb, expression.Env{})
		return "t", nil
	}}
	env.Tokens = s
	if _, err := e.Eval(t.Context(), "public", "ak_create_jwt_raw('x')\nak_create_jwt_raw('x')\nreturn 1", env); !errors.Is(err, context.Canceled) || len(s.asked) != 1 {
		t.Errorf("after one within that was ended, the outer one goes on: %v, asked %d times", err, len(s.asked))
	}
}
