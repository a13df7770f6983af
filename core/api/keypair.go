package api

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // one of the two fingerprints that people compare; nothing trusts it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

func keyPairs() *resource[core.KeyPair] {
	return &resource[core.KeyPair]{
		model: "CertificateKeyPair", app: "authentik_crypto", verbose: "Certificate-Key Pair", key: "kp_uuid",
		members: []member{
			always("pk", uuidShape()), always("managed", textShape().orNull()),
			always("fingerprint_sha256", textShape().orNull()), always("fingerprint_sha1", textShape().orNull()),
			always("cert_expiry", timeShape().orNull()), always("cert_subject", textShape().orNull()),
			always("private_key_available", booleanShape()), always("private_key_type", textShape().orNull()),
			always("key_type", choiceShape("rsa", "ec", "dsa", "ed25519", "ed448").orNull()),
			always("certificate_download_url", textShape()), always("private_key_download_url", textShape()),
		},
		hidden: []string{"certificate_data", "key_data"},
		params: []parameter{flag("include_details", true, "Read the certificate too.")},
		listing: listing{
			filters: map[string]filter{"name": byText, "has_key": byBool, "managed": byText, "key_type": byTexts},
			order:   []string{"name", "managed"},
			preset:  []string{"name"},
		},
		find: findKeyPair,
		page: func(c *call, q Query) ([]core.KeyPair, int, error) {
			kinds := q.Where["key_type"]
			if kinds == nil {
				return c.Store.ListKeyPairs(c.ctx(), c.t, q)
			}
			// What kind of key it is, only its text tells.
			delete(q.Where, "key_type")
			p := page{number: q.Offset/q.Limit + 1, size: q.Limit}
			all, err := every(q, func(q Query) ([]core.KeyPair, int, error) { return c.Store.ListKeyPairs(c.ctx(), c.t, q) })
			all = slices.DeleteFunc(all, func(k core.KeyPair) bool { return !slices.Contains(kinds, keyType(&k)) })
			return cut(all, p), len(all), err
		},
		create: func(c *call, k *core.KeyPair) error { return c.Store.CreateKeyPair(c.ctx(), c.t, k) },
		update: func(c *call, key string, change func(*core.KeyPair) error) (*core.KeyPair, error) {
			id, _ := uuid(key)
			return c.Store.UpdateKeyPair(c.ctx(), c.t, core.KeyPairID(id), func(k *core.KeyPair) error { return c.succeed(k, change) })
		},
		remove: func(c *call, key string) error {
			id, _ := uuid(key)
			return c.Store.DeleteKeyPair(c.ctx(), c.t, core.KeyPairID(id))
		},
		fresh: func(*call) *core.KeyPair { return &core.KeyPair{} },
		read: func(f *fields, k *core.KeyPair) {
			text(f, "name", rule{required: true, max: 255}, &k.Name)
			text(f, "certificate_data", rule{required: true, lines: true, max: 256 << 10}, &k.Certificate)
			text(f, "key_data", rule{blank: true, null: true, lines: true, max: 64 << 10}, &k.PrivateKey)
			if len(f.errs) == 0 && (f.has("certificate_data") || f.has("key_data")) {
				_, err := keys.Parse(k)
				keyPairFault(f, err)
			}
		},
		check: checkKeyMaterial,
		show:  showKeyPair,
		label: func(k *core.KeyPair) (string, string) { return string(k.ID), k.Name },
	}
}

// keyPairFault notes what is wrong with the two texts.
func keyPairFault(f *fields, err error) {
	if field := (*core.FieldError)(nil); errors.As(err, &field) {
		f.fail(field.Field, field.Message)
	} else if err != nil {
		f.fail("certificate_data", "The key pair cannot be read.")
	}
}

// checkKeyMaterial refuses a key that was revoked, and one that leaves a provider
// without a key to sign with.
func checkKeyMaterial(c *call, f *fields, k, old *core.KeyPair) error {
	if len(f.errs) > 0 || old != nil && old.Certificate == k.Certificate && old.PrivateKey == k.PrivateKey {
		return nil
	}
	parsed, err := keys.Parse(k)
	if err != nil {
		keyPairFault(f, err)
		return nil
	}
	err = keys.Unrevoked(c.ctx(), c.Store, c.t, parsed)
	if field := (*core.FieldError)(nil); errors.As(err, &field) {
		if k.PrivateKey == "" {
			field.Field = "certificate_data"
		}
		f.fail(field.Field, field.Message)
		return nil
	}
	if err != nil || old == nil || parsed.Signer != nil {
		return err
	}
	use, err := c.Store.KeyPairUse(c.ctx(), c.t, k.ID)
	if err == nil && len(use.Signing) > 0 {
		f.fail("key_data", fmt.Sprintf("The provider %q signs with this key pair: it needs a private key.", use.Signing[0]))
	}
	return err
}

// succeed applies a change to a key pair. Another key does not take the place of the
// old one at once: see keys.Replace.
func (c *call) succeed(k *core.KeyPair, change func(*core.KeyPair) error) error {
	before := *k
	if err := change(k); err != nil {
		return err
	}
	certificate, private := k.Certificate, k.PrivateKey
	if certificate == before.Certificate && private == before.PrivateKey {
		return nil
	}
	k.Certificate, k.PrivateKey = before.Certificate, before.PrivateKey
	lead := c.KeyLead
	if lead == 0 {
		lead = keys.DefaultLead
	}
	return keys.Replace(k, certificate, private, c.Now(), lead)
}

func findKeyPair(c *call, key string) (*core.KeyPair, error) {
	id, valid := uuid(key)
	if !valid {
		return nil, core.ErrNotFound
	}
	return c.Store.KeyPair(c.ctx(), c.t, core.KeyPairID(id))
}

// showKeyPair is a key pair without either of its two texts: those have calls of
// their own.
func showKeyPair(c *call, k *core.KeyPair) (any, error) {
	path := Prefix + "crypto/certificatekeypairs/" + string(k.ID)
	out := object{
		"pk": string(k.ID), "name": k.Name, "managed": orNull(k.Managed),
		"fingerprint_sha256": nil, "fingerprint_sha1": nil, "cert_expiry": nil, "cert_subject": nil,
		"private_key_available": k.PrivateKey != "", "private_key_type": nil, "key_type": nil,
		"certificate_download_url": path + "/view_certificate/?download=true",
		"private_key_download_url": path + "/view_private_key/?download=true",
	}
	if !c.wants("include_details", true) {
		return out, nil
	}
	out["key_type"], out["private_key_type"] = orNull(keyType(k)), orNull(keyType(k))
	if parsed, err := keys.Parse(k); err == nil && len(parsed.Certificates) > 0 {
		leaf := parsed.Certificates[0]
		sum256, sum1 := sha256.Sum256(leaf.Raw), sha1.Sum(leaf.Raw) //nolint:gosec // as above
		out["fingerprint_sha256"], out["fingerprint_sha1"] = fingerprint(sum256[:]), fingerprint(sum1[:])
		out["cert_expiry"], out["cert_subject"] = stamp(leaf.NotAfter), leaf.Subject.String()
	}
	return out, nil
}

// keyType is the private key's, with the API's names; "" where there is none.
func keyType(k *core.KeyPair) string {
	if k.PrivateKey == "" {
		return ""
	}
	parsed, err := keys.Parse(k)
	if err != nil {
		return ""
	}
	switch parsed.Public.(type) {
	case *rsa.PublicKey:
		return "rsa"
	case *ecdsa.PublicKey:
		return "ec"
	case ed25519.PublicKey:
		return "ed25519"
	}
	return ""
}

func fingerprint(sum []byte) string {
	pairs := make([]string, len(sum))
	for i := range sum {
		pairs[i] = hex.EncodeToString(sum[i : i+1])
	}
	return strings.Join(pairs, ":")
}

func viewCertificate(c *call) (reply, error) {
	k, err := findKeyPair(c, c.key)
	if err != nil {
		return reply{}, found(err, "CertificateKeyPair")
	}
	return pemText(c, k.Certificate, k.Name+"_certificate.pem")
}

func viewPrivateKey(c *call) (reply, error) {
	k, err := findKeyPair(c, c.key)
	if err != nil {
		return reply{}, found(err, "CertificateKeyPair")
	}
	c.event(core.EventSecretView, core.Event{
		Message: "private key of " + k.Name,
		Context: object{"secret": object{"app": "authentik_crypto", "model_name": "certificatekeypair", "pk": string(k.ID), "name": k.Name}},
	})
	return pemText(c, string(k.PrivateKey), k.Name+"_private_key.pem")
}

func pemText(c *call, pem, fileName string) (reply, error) {
	if c.param("download") == "true" {
		return reply{status: 200, raw: []byte(pem), media: pemType, fileName: plainName(fileName)}, nil
	}
	return ok(object{"data": pem})
}

// plainName is a file name of letters, digits and the like.
func plainName(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' {
			return c
		}
		return '_'
	}, name)
}

// generation is what to generate.
type generation struct {
	name, names, alg string
	days             int
}

func (g *generation) read(f *fields) {
	g.alg = "rsa"
	text(f, "common_name", rule{required: true, max: 255}, &g.name)
	text(f, "subject_alt_name", rule{blank: true, max: 10000, about: "Names, with commas between them."}, &g.names)
	choice(f, "alg", &g.alg, "rsa", "ecdsa", "ed25519")
	integer(f, "validity_days", rule{required: true, about: "From 1 to 36500."}, &g.days)
	if f.has("validity_days") && len(f.errs["validity_days"]) == 0 && (g.days < 1 || g.days > 36500) {
		f.fail("validity_days", "Ensure this value lies between 1 and 36500.")
	}
}

// pemType is the media type of a key pair's texts (RFC 8555 §9.1 has one for
// chains; this is what is in use).
const pemType = "application/x-pem-file"

func pemShape() shape { return objectShape("CertificateData", always("data", textShape())) }

// generateKeyPair makes a key and a certificate that it signs itself.
func generateKeyPair(c *call) (reply, error) {
	f, s, g := c.body, keyPairs(), generation{}
	g.read(f)
	if err := f.err(); err != nil {
		return reply{}, err
	}
	k, err := keys.Generate(g.alg, g.name, strings.Split(g.names, ","), time.Duration(g.days)*24*time.Hour, c.Now())
	if err != nil {
		return reply{}, err
	}
	if err := c.Store.CreateKeyPair(c.ctx(), c.t, k); err != nil {
		if field := (*core.FieldError)(nil); errors.As(err, &field) && field.Field == "name" {
			return reply{}, invalid{"common_name": {"Certificate-Key Pair with this name already exists."}}
		}
		return reply{}, err
	}
	s.record(c, core.EventModelCreated, k)
	return s.answer(c, k, ok)
}
