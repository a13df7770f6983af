package storagetest

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

func mapping(b *bench, name, scope string) *core.PropertyMapping {
	b.Helper()
	m := &core.PropertyMapping{Kind: core.MappingScope, Name: name, Expression: "return {}", ScopeName: scope}
	b.ok(b.CreateMapping(b.ctx, b.t, m))
	return m
}

func keyPair(b *bench, name string) *core.KeyPair {
	b.Helper()
	k := &core.KeyPair{Name: name, Certificate: "cert of " + name, PrivateKey: core.Secret("key of " + name)}
	b.ok(b.CreateKeyPair(b.ctx, b.t, k))
	return k
}

func mappingTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"mapping/round trip": mappingRoundTrip,
		"mapping/refused":    mappingRefused,
		"mapping/list":       mappingList,
		"mapping/order":      mappingOrder,
	}
}

func mappingRoundTrip(b *bench) {
	m := &core.PropertyMapping{Kind: core.MappingSAML, Managed: "m/x", Name: "N", Expression: "return 1\n", ScopeName: "s", Description: "d",
		SAMLName: "sn", FriendlyName: "fn", Claims: []string{"a", "b"}}
	b.ok(b.CreateMapping(b.ctx, b.t, m))
	got, err := b.Mapping(b.ctx, b.t, core.MappingSAML, m.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, m) {
		b.Errorf("got %#v\nwant %#v", got, m)
	}
	b.clock.Add(time.Second)
	changed, err := b.UpdateMapping(b.ctx, b.t, core.MappingSAML, m.ID, func(v *core.PropertyMapping) error {
		v.Kind, v.Managed, v.Expression, v.Claims = core.MappingScope, "", "return 2", nil
		return nil
	})
	b.ok(err)
	got, err = b.Mapping(b.ctx, b.t, core.MappingSAML, m.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, changed) || got.Kind != core.MappingSAML || got.Expression != "return 2" {
		b.Errorf("got %#v\nwant %#v", got, changed)
	}
	b.is(second(b.Mapping(b.ctx, b.t, core.MappingScope, m.ID)), core.ErrNotFound)
	b.is(b.DeleteMapping(b.ctx, b.t, core.MappingScope, m.ID), core.ErrNotFound)
	b.ok(b.DeleteMapping(b.ctx, b.t, core.MappingSAML, m.ID))
	b.is(second(b.Mapping(b.ctx, b.t, core.MappingSAML, m.ID)), core.ErrNotFound)
}

func mappingRefused(b *bench) {
	m := &core.PropertyMapping{Kind: core.MappingScope, Name: "n", Managed: "m"}
	b.ok(b.CreateMapping(b.ctx, b.t, m))
	b.field(b.CreateMapping(b.ctx, b.t, &core.PropertyMapping{Kind: core.MappingScope, Name: "n"}), "name")
	b.field(b.CreateMapping(b.ctx, b.t, &core.PropertyMapping{Kind: core.MappingScope, Name: "x", Managed: "m"}), "managed")
	b.ok(b.CreateMapping(b.ctx, b.t, &core.PropertyMapping{Kind: core.MappingSAML, Name: "n"}))
	b.ok(b.CreateMapping(b.ctx, b.t, &core.PropertyMapping{Kind: core.MappingSAML, Name: "n2"}))
	// A deleted one leaves its providers.
	c := b.client("c")
	b.ok(second(b.UpdateClient(b.ctx, b.t, c.ID, func(v *core.Client) error { v.Mappings = []core.MappingID{m.ID, m.ID}; return nil })))
	got, err := b.Client(b.ctx, b.t, "c")
	b.ok(err)
	equal(b, "mappings, named twice", len(got.Mappings), 1)
	b.ok(b.DeleteMapping(b.ctx, b.t, core.MappingScope, m.ID))
	got, err = b.Client(b.ctx, b.t, "c")
	b.ok(err)
	equal(b, "mappings", len(got.Mappings), 0)
}

func mappingList(b *bench) {
	for _, m := range []core.PropertyMapping{
		{Kind: core.MappingScope, Name: "beta", Managed: "m/b", ScopeName: "email"},
		{Kind: core.MappingScope, Name: "Alpha", Managed: "m/a", ScopeName: "profile"},
		{Kind: core.MappingScope, Name: "own", ScopeName: "email"},
		{Kind: core.MappingSAML, Name: "saml", SAMLName: "urn:x", FriendlyName: "f"},
	} {
		b.ok(b.CreateMapping(b.ctx, b.t, &m))
	}
	for _, f := range []struct {
		kind core.MappingKind
		q    api.Query
		want string
	}{
		{core.MappingScope, api.Query{Order: []string{"name"}}, "Alpha beta own of 3"},
		{core.MappingSAML, api.Query{}, "saml of 1"},
		{core.MappingSCIM, api.Query{}, " of 0"},
		{core.MappingScope, api.Query{Where: map[string][]string{"managed": {"m/a", "m/b", "m/c"}}, Order: []string{"-name"}}, "beta Alpha of 2"},
		{core.MappingScope, api.Query{Where: map[string][]string{"managed__isnull": {"true"}}}, "own of 1"},
		{core.MappingScope, api.Query{Where: map[string][]string{"managed__isnull": {"false"}, "scope_name": {"email"}}}, "beta of 1"},
		{core.MappingScope, api.Query{Where: map[string][]string{"name": {"Alpha"}}}, "Alpha of 1"},
		{core.MappingSAML, api.Query{Where: map[string][]string{"saml_name": {"urn:x"}, "friendly_name": {"f"}}}, "saml of 1"},
		{core.MappingScope, api.Query{Search: "ALP"}, "Alpha of 1"},
		{core.MappingScope, api.Query{Offset: 3}, " of 3"},
	} {
		got, n, err := b.ListMappings(b.ctx, b.t, f.kind, f.q)
		b.ok(err)
		var names []string
		for _, m := range got {
			names = append(names, m.Name)
		}
		equal(b, fmt.Sprint(f.kind, f.q), fmt.Sprintf("%s of %d", strings.Join(names, " "), n), f.want)
	}
}

// The order decides which mapping wins: it is that of the folded names, the
// same on every backend.
func mappingOrder(b *bench) {
	var ids []core.MappingID
	for _, name := range []string{"b", "_x", "Ab", "aa", "É", "e", "A-", "1", " z"} {
		ids = append(ids, mapping(b, name, "s").ID)
	}
	got, err := b.Mappings(b.ctx, b.t, append(ids, "none"))
	b.ok(err)
	var names []string
	for _, m := range got {
		names = append(names, m.Name)
	}
	equal(b, "order", strings.Join(names, ","), "1,_x,A-,aa,Ab,b,e, z,É")
	none, err := b.Mappings(b.ctx, b.t, nil)
	b.ok(err)
	equal(b, "none", len(none), 0)
}

func keyPairTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"key pair/round trip": keyPairRoundTrip,
		"key pair/in use":     keyPairInUse,
		"key pair/list":       keyPairList,
	}
}

func keyPairRoundTrip(b *bench) {
	k := keyPair(b, "k")
	got, err := b.KeyPair(b.ctx, b.t, k.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, k) {
		b.Errorf("got %#v\nwant %#v", got, k)
	}
	changed, err := b.UpdateKeyPair(b.ctx, b.t, k.ID, func(v *core.KeyPair) error { v.Name, v.PrivateKey = "k2", ""; return nil })
	b.ok(err)
	got, err = b.KeyPair(b.ctx, b.t, k.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, changed) || got.PrivateKey != "" || got.Name != "k2" {
		b.Errorf("got %#v\nwant %#v", got, changed)
	}
	err = b.CreateKeyPair(b.ctx, b.t, &core.KeyPair{Name: "k2"})
	b.field(err, "name")
	b.is(err, core.ErrExists)
	b.ok(b.DeleteKeyPair(b.ctx, b.t, k.ID))
	b.is(b.DeleteKeyPair(b.ctx, b.t, k.ID), core.ErrNotFound)
	b.is(second(b.KeyPair(b.ctx, b.t, k.ID)), core.ErrNotFound)
}

func keyPairInUse(b *bench) {
	sign, enc, cert := keyPair(b, "sign"), keyPair(b, "enc"), keyPair(b, "cert")
	c := b.client("c")
	b.ok(second(b.UpdateClient(b.ctx, b.t, c.ID, func(v *core.Client) error { v.SigningKey, v.EncryptionKey = sign.ID, enc.ID; return nil })))
	p := &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: "p"}, Certificate: cert.ID}
	b.ok(b.CreateProxyProvider(b.ctx, b.t, p))
	for _, k := range []*core.KeyPair{sign, enc, cert} {
		b.is(b.DeleteKeyPair(b.ctx, b.t, k.ID), core.ErrInUse)
	}
	b.ok(b.DeleteProvider(b.ctx, b.t, p.ID))
	b.ok(b.DeleteKeyPair(b.ctx, b.t, cert.ID))
}

func keyPairList(b *bench) {
	keyPair(b, "Beta")
	b.ok(b.CreateKeyPair(b.ctx, b.t, &core.KeyPair{Name: "alpha", Certificate: "c", Managed: "m"}))
	for _, f := range []struct {
		q    api.Query
		want string
	}{
		{api.Query{Order: []string{"name"}}, "alpha Beta of 2"},
		{api.Query{Where: map[string][]string{"name": {"Beta"}}}, "Beta of 1"},
		{api.Query{Where: map[string][]string{"has_key": {"true"}}}, "Beta of 1"},
		{api.Query{Where: map[string][]string{"has_key": {"false"}}}, "alpha of 1"},
		{api.Query{Where: map[string][]string{"managed": {"m"}}}, "alpha of 1"},
		{api.Query{Search: "BET"}, "Beta of 1"},
		{api.Query{Offset: 2}, " of 2"},
	} {
		got, n, err := b.ListKeyPairs(b.ctx, b.t, f.q)
		b.ok(err)
		var names []string
		for _, k := range got {
			names = append(names, k.Name)
		}
		equal(b, fmt.Sprint(f.q), fmt.Sprintf("%s of %d", strings.Join(names, " "), n), f.want)
	}
}

func tokenTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"token/round trip": tokenRoundTrip,
		"token/refused":    tokenRefused,
		"token/list":       tokenList,
	}
}

func tokenRoundTrip(b *bench) {
	u := b.user("alice")
	k := &core.Token{Identifier: "t", Intent: core.IntentAPI, User: u.ID, Managed: "m", Description: "d", Expiring: true, Expires: b.clock.Now().Add(time.Hour)}
	b.ok(b.CreateToken(b.ctx, b.t, k, "the key"))
	check := func(want *core.Token, key core.Secret) {
		b.Helper()
		got, err := b.Token(b.ctx, b.t, want.Identifier)
		b.ok(err)
		if !reflect.DeepEqual(got, want) {
			b.Errorf("got %#v\nwant %#v", got, want)
		}
		got, err = b.TokenByKey(b.ctx, b.t, core.Hash(string(key)))
		b.ok(err)
		equal(b, "by key", got.ID, want.ID)
		shown, err := b.TokenKey(b.ctx, b.t, want.Identifier)
		b.ok(err)
		equal(b, "key", string(shown), string(key))
	}
	check(k, "the key")
	changed, err := b.UpdateToken(b.ctx, b.t, "t", func(v *core.Token) error { v.Identifier, v.Description, v.ID = "t2", "d2", "forged"; return nil })
	b.ok(err)
	check(changed, "the key")
	b.ok(b.SetTokenKey(b.ctx, b.t, "t2", "new key"))
	check(changed, "new key")
	b.is(second(b.TokenByKey(b.ctx, b.t, core.Hash("the key"))), core.ErrNotFound)
	b.ok(b.DeleteToken(b.ctx, b.t, "t2"))
	b.is(b.DeleteToken(b.ctx, b.t, "t2"), core.ErrNotFound)
	b.is(second(b.TokenByKey(b.ctx, b.t, core.Hash("new key"))), core.ErrNotFound)
	b.is(b.SetTokenKey(b.ctx, b.t, "t2", "x"), core.ErrNotFound)
	b.is(second(b.TokenKey(b.ctx, b.t, "t2")), core.ErrNotFound)
}

func tokenRefused(b *bench) {
	u := b.user("alice")
	b.token(u.ID, "t")
	err := b.CreateToken(b.ctx, b.t, &core.Token{Identifier: "t", User: u.ID}, "other")
	b.field(err, "identifier")
	b.is(err, core.ErrExists)
	b.field(b.CreateToken(b.ctx, b.t, &core.Token{Identifier: "x", User: u.ID}, "key of t"), "key")
	b.field(b.CreateToken(b.ctx, b.t, &core.Token{Identifier: "x", User: "none"}, "k"), "user")
	b.field(second(b.UpdateToken(b.ctx, b.t, "t", func(v *core.Token) error { v.User = "none"; return nil })), "user")
}

func tokenList(b *bench) {
	u, c := b.user("alice"), b.user("carol")
	b.token(u.ID, "One")
	b.ok(b.CreateToken(b.ctx, b.t, &core.Token{Identifier: "two", User: c.ID, Intent: core.IntentAppPassword, Description: "Desc", Expiring: true, Managed: "m"}, "k2"))
	for _, f := range []struct {
		q    api.Query
		want string
	}{
		{api.Query{Order: []string{"identifier"}}, "One two of 2"},
		{api.Query{Order: []string{"-user__username"}}, "two One of 2"},
		{api.Query{Where: map[string][]string{"identifier": {"two"}}}, "two of 1"},
		{api.Query{Where: map[string][]string{"intent": {"api"}}}, "One of 1"},
		{api.Query{Where: map[string][]string{"description": {"Desc"}}}, "two of 1"},
		{api.Query{Where: map[string][]string{"expiring": {"true"}}}, "two of 1"},
		{api.Query{Where: map[string][]string{"managed": {"m"}}}, "two of 1"},
		{api.Query{Where: map[string][]string{"user__username": {"ALICE"}}}, "One of 1"},
		{api.Query{Search: "desc"}, "two of 1"},
		{api.Query{Search: "CAROL"}, "two of 1"},
		{api.Query{Offset: 2}, " of 2"},
	} {
		got, n, err := b.ListTokens(b.ctx, b.t, f.q)
		b.ok(err)
		var names []string
		for _, k := range got {
			names = append(names, k.Identifier)
		}
		equal(b, fmt.Sprint(f.q), fmt.Sprintf("%s of %d", strings.Join(names, " "), n), f.want)
	}
}
