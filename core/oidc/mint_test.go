package oidc_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

// another is a second client with an application, whose tokens the first one's mapping makes.
func (w *world) another(change func(*core.Client)) *core.Client {
	w.t.Helper()
	c, _ := w.newClient("other", change)
	return c
}

// introspectAs asks as the client of that ID.
func (w *world) introspectAs(id, token string) map[string]any {
	w.t.Helper()
	a := w.post("introspect/", url.Values{"token": {token}, "client_id": {id}, "client_secret": {secret}})
	var out map[string]any
	check(w.t, json.Unmarshal([]byte(a.body), &out))
	return out
}

// failedWith looks for the event of a mapping that failed so.
func (w *world) failedWith(text string) {
	w.t.Helper()
	all := w.events(core.EventMappingException)
	if !slices.ContainsFunc(all, func(message string) bool { return strings.Contains(message, text) }) {
		w.t.Errorf("no mapping failed with %q: %q", text, all)
	}
}

// A mapping makes an access token of another provider for who logs in: it is one like any
// other of that provider's, has that one's claims, and ends with the login.
func TestMappingMakesToken(t *testing.T) {
	w := newWorld(t)
	other := w.another(nil)
	m := w.mapping("level", "", "return {'level': 'high', 'inner': ak_create_jwt(request.user, 'app', [])}", "")
	_, err := w.db.UpdateClient(t.Context(), tenantID, other.ID, func(c *core.Client) error { c.Mappings = append(c.Mappings, m.ID); return nil })
	check(t, err)
	w.addMapping("call", "return {'other_token': ak_create_jwt(request.user, 'other', ['openid', 'email', 'level', 'unknown'], 'minutes=5')}")
	got := w.tokens("openid call")
	token, _ := claims(t, got.ID)["other_token"].(string)
	said := claims(t, token)
	now := w.clock.Wall().Unix()
	for name, want := range map[string]any{
		"aud": "other", "azp": "other", "scope": "openid email level", "email": "alice@example.com", "level": "high",
		"sub": claims(t, w.tokens("openid").ID)["sub"], "iss": w.server.URL + "/application/o/other/", "exp": float64(now + 300), "iat": float64(now),
		"sid": claims(t, got.ID)["sid"], "auth_time": claims(t, got.ID)["auth_time"],
	} {
		if said[name] != want {
			t.Errorf("%s is %v, want %v", name, said[name], want)
		}
	}
	if inner, there := said["inner"]; there {
		t.Errorf("a mapping of a token that a mapping made makes another one: %v", inner)
	}
	if status, info := w.userinfo(token); status != 200 || info["level"] != "high" {
		t.Errorf("userinfo: %d %v", status, info)
	}
	if w.introspectAs("other", token)["active"] != true {
		t.Error("its own client does not see it as active")
	}
	if w.introspectAs("app", token)["active"] != false {
		t.Error("the client whose mapping made it sees it as its own")
	}
	w.clock.Add(5*time.Minute + time.Second)
	if status, _ := w.userinfo(token); status != 401 {
		t.Errorf("after its validity: %d", status)
	}
	token, _ = claims(t, w.tokens("openid call").ID)["other_token"].(string)
	if status, _ := w.userinfo(token); status != 200 { // the control
		t.Errorf("a new one: %d", status)
	}
	sessions, err := w.db.UserSessions(t.Context(), tenantID, w.alice.ID)
	check(t, err)
	for _, s := range sessions {
		_, err := w.db.DeleteSession(t.Context(), tenantID, s.ID)
		check(t, err)
	}
	if status, _ := w.userinfo(token); status != 401 {
		t.Errorf("after the logout: %d", status)
	}
}

// Userinfo, which a client may ask without end, makes no grant each time.
func TestUserinfoMakesNoTokenEachTime(t *testing.T) {
	w := newWorld(t)
	w.another(nil)
	w.addMapping("call", "return {'t': ak_create_jwt(user, 'other', ['openid'], 'minutes=2'), 'u': ak_create_jwt(user, 'other', ['openid', 'email'], 'minutes=2')}")
	access := w.tokens("openid call").Access
	ask := func(access string) (string, string) {
		_, info := w.userinfo(access)
		token, _ := info["t"].(string)
		other, _ := info["u"].(string)
		if status, _ := w.userinfo(token); status != 200 {
			t.Errorf("the token is of no use: %d", status)
		}
		return token, other
	}
	first, other := ask(access)
	if again, _ := ask(access); again != first || other == first {
		t.Error("asked again, it makes another token, or one for two scopes")
	}
	if of, _ := ask(w.tokens("openid call").Access); of == first {
		t.Error("the token of another authorization")
	}
	w.clock.Add(time.Minute)
	if later, _ := ask(access); later == first {
		t.Error("after half of its time it is the same")
	}
}

// A token for somebody else than who logs in names no login of theirs.
func TestMappingMakesTokenForAnother(t *testing.T) {
	w := newWorld(t)
	w.another(nil)
	bob := w.newUser("bob")
	w.addMapping("call", "return {'t': ak_create_jwt(ak_user_by(username='bob'), 'other', ['email'])}")
	token, _ := claims(t, w.tokens("openid call").ID)["t"].(string)
	said := claims(t, token)
	if _, bound := said["sid"]; bound || said["email"] != "bob@example.com" || said["exp"] != float64(w.clock.Wall().Unix()+60) {
		t.Errorf("%v", said)
	}
	w.updateUser(bob, func(u *core.User) { u.Active = false })
	got := w.tokens("openid call")
	if _, there := claims(t, got.ID)["t"]; there {
		t.Error("a token for who is not active")
	}
	w.failedWith("user: the user is not active")
}

// What is asked wrongly fails the mapping and says what would be right. None of it makes a
// token that opens the API, or one that outlives the key that signs it.
func TestMappingMakesNoToken(t *testing.T) {
	for src, want := range map[string]string{
		"ak_create_jwt(user, 'nobody', [])":                          "provider: there is no OAuth2 provider of that name",
		"ak_create_jwt(user, 'unused', [])":                          "provider: it is not assigned to an application",
		"ak_create_jwt(user, 'other', ['goauthentik.io/api'])":       "scopes: goauthentik.io/api is only for tokens that the person asked for",
		"ak_create_jwt(user, 'other', [], 'minutes=11')":             "validity: it must be above zero, and at most the access token validity of the provider, 10m0s",
		"ak_create_jwt(user, 'other', [], 'minutes=-1')":             "validity: it must be above zero",
		"ak_create_jwt_raw('other', azp='other')":                    "azp: this claim is not for a mapping to set",
		"ak_create_jwt_raw('other', Azp='other')":                    "Azp: this claim is not for a mapping to set",
		"ak_create_jwt_raw('other', **{'ſid': ''})":                  "ſid: this claim",
		"ak_create_jwt_raw('other', jti='x')":                        "jti: this claim",
		"ak_create_jwt_raw('other', exp=99999999999)":                "exp: this claim",
		"ak_create_jwt_raw('other', iss='https://x')":                "iss: this claim",
		"ak_create_jwt_raw('other', nonce='x')":                      "nonce: this claim",
		"ak_create_jwt_raw('other', sid='x')":                        "sid: this claim",
		"ak_create_jwt_raw('other', events={})":                      "events: this claim",
		"ak_create_jwt_raw('other', text='x' * 70000)":               "claims: they must be JSON of at most 65536 bytes",
		"ak_create_jwt(user, 'other', ['email goauthentik.io/api'])": "scopes: goauthentik.io/api",
		"[ak_create_jwt(user, 'other', []) for x in range(4)]":       "more than 3 times",
		"ak_create_jwt_raw('other', 'hours=1')":                      "validity: it must be above zero, and at most",
	} {
		w := newWorld(t)
		w.another(nil)
		check(t, w.db.CreateClient(t.Context(), tenantID, &core.Client{
			ProviderBase: core.ProviderBase{Name: "unused", AuthorizationFlow: w.flow(core.FlowImplicitConsent), InvalidationFlow: w.flow(core.FlowProviderInvalidation)},
			ClientID:     "unused", Type: core.ClientConfidential, Secret: secret, SigningKey: w.key.ID, LogoutMethod: "backchannel",
		}))
		w.addMapping("call", "return {'t': "+src+"}")
		if got, there := claims(t, w.tokens("openid call").ID)["t"]; there {
			t.Errorf("%s: %v", src, got)
		}
		w.failedWith(want)
	}
}

// A raw token says what the mapping says, is signed as the provider's are, and is taken for none of ours.
func TestMappingMakesRawToken(t *testing.T) {
	w := newWorld(t)
	w.another(nil)
	w.addMapping("call", "return {'t': ak_create_jwt_raw('other', 'minutes=5', sub='service', aud='https://api.example', role=['a'])}")
	token, _ := claims(t, w.tokens("openid call").ID)["t"].(string)
	said := claims(t, token)
	now := w.clock.Wall().Unix()
	if said["sub"] != "service" || said["aud"] != "https://api.example" || said["iss"] != w.server.URL+"/application/o/other/" ||
		said["exp"] != float64(now+300) || said["iat"] != float64(now) || len(said) != 6 {
		t.Errorf("%v", said)
	}
	if status, _ := w.userinfo(token); status != 401 {
		t.Errorf("userinfo takes it: %d", status)
	}
	if w.introspectAs("other", token)["active"] != false {
		t.Error("introspection takes it")
	}
}

// A preview checks what a login would, and makes nothing.
func TestPreviewMakesNoToken(t *testing.T) {
	w := newWorld(t)
	w.another(nil)
	w.addMapping("call", "return {'t': ak_create_jwt(user, 'other', ['email']), 'r': ak_create_jwt_raw('other')}")
	said, failed, err := w.op.Preview(w.ctx(), w.client, w.app, w.alice, nil)
	check(t, err)
	if said["t"] != "[an access token of other]" || said["r"] != "[a token signed for other]" || len(failed) > 0 {
		t.Errorf("%v %v", said, failed)
	}
	w.updateClient(func(c *core.Client) { c.Mappings = nil })
	w.addMapping("call", "return {'t': ak_create_jwt(user, 'nobody', ['email'])}")
	_, failed, err = w.op.Preview(w.ctx(), w.client, w.app, w.alice, nil)
	check(t, err)
	if len(failed) != 1 || !strings.Contains(failed[0].Err.Error(), "there is no OAuth2 provider of that name") {
		t.Errorf("%v", failed)
	}
}
