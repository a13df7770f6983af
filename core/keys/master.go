package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/postern-sso/postern/core"
)

// MinSecret is the least length of the master secret in bytes.
const MinSecret = 32

// Master derives every symmetric key from the installation's secret: one per
// tenant and purpose, by HKDF-SHA-256 (RFC 5869), so that what one tenant's key
// sealed no other can open.
type Master struct {
	id     uint32
	secret []byte
	// old open what they sealed, and seal nothing.
	old []*Master
}

// ErrSealed: a ciphertext was made with another secret, for another tenant,
// purpose or place, or was changed.
var ErrSealed = errors.New("cannot be decrypted: sealed with another secret, for another place, or changed")

// NewMaster takes the installation's secret, at least MinSecret bytes, and those before
// it, which go on opening what they sealed until it is sealed anew.
func NewMaster(secret []byte, old ...[]byte) (*Master, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the master secret has %d bytes; it needs at least %d", len(secret), MinSecret)
	}
	m := &Master{secret: append([]byte(nil), secret...)}
	sum := m.Derive("", "key-id")
	m.id = binary.BigEndian.Uint32(sum[:4])
	for i, before := range old {
		o, err := NewMaster(before)
		if err != nil {
			return nil, fmt.Errorf("old secret %d: %w", i+1, err)
		}
		if subtle.ConstantTimeCompare(before, secret) == 0 {
			if o.id == m.id { // one in four thousand millions
				return nil, fmt.Errorf("old secret %d begins its ciphertext as the new one does: choose another new secret", i+1)
			}
			m.old = append(m.old, o)
		}
	}
	return m, nil
}

// Old reports whether a fingerprint is that of a secret before this one.
func (m *Master) Old(fingerprint string) bool {
	for _, o := range m.old {
		if fmt.Sprintf("%x", o.Fingerprint()) == fingerprint {
			return true
		}
	}
	return false
}

// HasOld reports whether there are secrets before this one.
func (m *Master) HasOld() bool { return len(m.old) > 0 }

// KeyID begins every ciphertext of this secret.
func (m *Master) KeyID() [4]byte {
	var id [4]byte
	binary.BigEndian.PutUint32(id[:], m.id)
	return id
}

// Derive returns the key of a tenant for a purpose.
func (m *Master) Derive(t core.TenantID, purpose string) [32]byte {
	key, err := hkdf.Key(sha256.New, m.secret, nil, "postern\x00"+string(t)+"\x00"+purpose, 32)
	if err != nil {
		panic(err) // only for an output length that 32 is not
	}
	return [32]byte(key)
}

// DeriveAll returns the key of a tenant for a purpose, and after it those that the secrets before this
// one gave.
func (m *Master) DeriveAll(t core.TenantID, purpose string) [][32]byte {
	all := [][32]byte{m.Derive(t, purpose)}
	for _, o := range m.old {
		all = append(all, o.Derive(t, purpose))
	}
	return all
}

// Fingerprint identifies the secret without telling anything of it: stored with
// the data, so that a start with another secret is refused.
func (m *Master) Fingerprint() [32]byte { return m.Derive("", "fingerprint") }

// Seal encrypts by AES-256-GCM with a random nonce under the tenant's key for
// purpose. The result opens only with the same tenant, purpose and place; place
// names where it is kept ("table/column/row"), so that one row's ciphertext
// cannot be moved to another. Layout: key id (4 bytes), nonce (12), ciphertext.
func (m *Master) Seal(t core.TenantID, purpose, place string, plaintext []byte) []byte {
	gcm := m.gcm(t, purpose)
	out := make([]byte, 4, 4+len(plaintext)+gcm.Overhead())
	binary.BigEndian.PutUint32(out, m.id)
	return gcm.Seal(out, nil, plaintext, []byte(place)) //nolint:gosec // no nonce is given because this AEAD makes a random one
}

// Open is the inverse of Seal, under this secret or one before it. Any mismatch is
// ErrSealed.
func (m *Master) Open(t core.TenantID, purpose, place string, sealed []byte) ([]byte, error) {
	if plaintext, ok := m.open(t, purpose, place, sealed); ok {
		return plaintext, nil
	}
	for _, o := range m.old {
		if plaintext, ok := o.open(t, purpose, place, sealed); ok {
			return plaintext, nil
		}
	}
	return nil, ErrSealed
}

func (m *Master) open(t core.TenantID, purpose, place string, sealed []byte) ([]byte, bool) {
	if len(sealed) < 4 || binary.BigEndian.Uint32(sealed) != m.id {
		return nil, false
	}
	plaintext, err := m.gcm(t, purpose).Open(nil, nil, sealed[4:], []byte(place))
	return plaintext, err == nil
}

// Reseal seals anew what a secret before this one sealed. Of this one's own ciphertext,
// changed is false.
func (m *Master) Reseal(t core.TenantID, purpose, place string, sealed []byte) (anew []byte, changed bool, err error) {
	if _, ok := m.open(t, purpose, place, sealed); ok {
		return sealed, false, nil
	}
	plaintext, err := m.Open(t, purpose, place, sealed)
	if err != nil {
		return nil, false, err
	}
	return m.Seal(t, purpose, place, plaintext), true, nil
}

func (m *Master) gcm(t core.TenantID, purpose string) cipher.AEAD {
	key := m.Derive(t, "seal/"+purpose)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // only for a key length that 32 is not
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for a block size that AES has not
	}
	return gcm
}
