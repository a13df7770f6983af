package backup

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"

	"github.com/postern-sso/postern/core"
)

// MinPassphrase is the least length of a passphrase in bytes.
const MinPassphrase = 12

// Key is what a backup is sealed with: one of the two is set.
type Key struct {
	// Secret is the key that the master secret gives for backups
	// (keys.Master.Derive with the purpose "backup").
	Secret *[32]byte
	// Passphrase is the operator's own. A backup sealed with it carries Carry, so
	// that file and passphrase are all that a restore needs.
	Passphrase core.Secret
}

// cost of argon2id (RFC 9106), as written into the header.
type cost struct {
	Time    uint32 `json:"time"`
	Memory  uint32 `json:"memory"` // KiB
	Threads uint8  `json:"threads"`
}

// usual is the second recommended option of RFC 9106 §4.
func usual() *cost { return &cost{Time: 3, Memory: 64 << 10, Threads: 4} }

// sane bounds what a file may ask of its reader: a header is not authentic before
// its key is derived.
func (c *cost) sane() bool {
	return c != nil && c.Time >= 1 && c.Time <= 10 && c.Memory >= 8 && c.Memory <= 1<<20 && c.Threads >= 1 && c.Threads <= 16
}

// kind is what Header.Sealed says.
func (k Key) kind() string {
	if k.Secret != nil {
		return "secret"
	}
	return "passphrase"
}

// base is the key before the header is bound to it.
func (k Key) base(h *Header) ([]byte, error) {
	switch {
	case k.Secret != nil && k.Passphrase != "":
		return nil, errors.New("seal backup: a secret and a passphrase are given")
	case k.Secret != nil:
		return k.Secret[:], nil
	case len(k.Passphrase) < MinPassphrase:
		return nil, fmt.Errorf("the passphrase has %d bytes and needs at least %d", len(k.Passphrase), MinPassphrase)
	case !h.Argon2.sane() || len(h.Salt) < 16:
		return nil, fmt.Errorf("read backup: %w: its header asks for an odd derivation of the key", ErrCorrupt)
	}
	return argon2.IDKey([]byte(k.Passphrase), h.Salt, h.Argon2.Time, h.Argon2.Memory, h.Argon2.Threads, 32), nil
}

// derive gives the check value and, for a header as it is written, the cipher.
func derive(base, salt []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, base, salt, "postern backup\x00"+purpose, 32)
	if err != nil {
		panic(err) // only for an output length that 32 is not
	}
	return key
}

func checkValue(base, salt []byte) []byte { return derive(base, salt, "check")[:16] }

func sameKey(base []byte, h *Header) bool {
	return subtle.ConstantTimeCompare(checkValue(base, h.Salt), h.Check) == 1
}

func newCipher(base, salt, header []byte) cipher.AEAD {
	sum := sha256.Sum256(header)
	block, err := aes.NewCipher(derive(base, salt, "chunks\x00"+string(sum[:])))
	if err != nil {
		panic(err) // only for a key length that 32 is not
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only for a block size that AES has not
	}
	return gcm
}
