package login

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/postern-sso/postern/core"
)

// Bounds of a password. The first counts characters and holds for new ones
// only; the second counts bytes.
const (
	MinPassword = 8
	MaxPassword = 1024
)

var (
	// ErrBusy: too many passwords are being checked at once. Try again in some
	// seconds.
	ErrBusy = fmt.Errorf("too many passwords are being checked: %w", core.ErrBusy)
	// ErrHash: what is stored as a password hash cannot be read.
	ErrHash = errors.New("not an argon2id hash in PHC string form")
)

// Hasher makes and checks password hashes by argon2id (RFC 9106). It bounds how
// many run at once, and with them the memory they take; one is shared by all
// that check passwords, and tenants come by turns. The zero value is ready for use.
type Hasher struct {
	// Memory is in KiB. Zero: 19456, which is 19 MiB. A hash made with less is
	// made again at the next login, as with fewer Passes.
	Memory uint32
	// Passes over the memory. Zero: 2.
	Passes uint32
	// Slots is how many run at once. Zero: GOMAXPROCS.
	Slots int
	// Wait is how long one waits for a slot before ErrBusy. Zero: 5 s.
	Wait time.Duration

	once  sync.Once
	slots *core.Turns
	salt  []byte // stands in for that of a user who has none
}

const (
	hashThreads = 1
	saltSize    = 16
	hashSize    = 32
	// maxHashers is how many of one tenant wait for a slot, more than there would be time for.
	maxHashers = 1000
)

func (h *Hasher) init() {
	h.once.Do(func() {
		if h.Memory == 0 {
			h.Memory = 19 << 10
		}
		if h.Passes == 0 {
			h.Passes = 2
		}
		if h.Slots <= 0 {
			h.Slots = runtime.GOMAXPROCS(0)
		}
		if h.Wait <= 0 {
			h.Wait = 5 * time.Second
		}
		h.slots = core.NewTurns(h.Slots, maxHashers)
		h.salt = make([]byte, saltSize)
		rand.Read(h.salt) // never returns an error (Go 1.24)
	})
}

// CheckNew refuses a password that may not be set, with a *core.FieldError of
// the field "password".
func (h *Hasher) CheckNew(password string) error {
	message := ""
	switch {
	case utf8.RuneCountInString(password) < MinPassword:
		message = fmt.Sprintf("Use at least %d characters.", MinPassword)
	case len(password) > MaxPassword:
		message = fmt.Sprintf("Use at most %d bytes.", MaxPassword)
	case strings.ContainsRune(password, 0):
		message = "Leave out the NUL character."
	default:
		return nil
	}
	return &core.FieldError{Field: "password", Message: message}
}

// Hash makes the hash of a new password, in PHC string form. A password that
// CheckNew refuses is a *core.FieldError; ErrBusy: no slot became free.
func (h *Hasher) Hash(ctx context.Context, t core.TenantID, password string) (string, error) {
	if err := h.CheckNew(password); err != nil {
		return "", err
	}
	return h.hash(ctx, t, password)
}

func (h *Hasher) hash(ctx context.Context, t core.TenantID, password string) (string, error) {
	if err := h.take(ctx, t); err != nil {
		return "", err
	}
	defer h.slots.Leave(t)
	salt := make([]byte, saltSize)
	rand.Read(salt) // never returns an error (Go 1.24)
	sum := argon2.IDKey([]byte(password), salt, h.Passes, h.Memory, hashThreads, hashSize)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.Memory, h.Passes, hashThreads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum)), nil
}

// Verify reports whether password is the one that hash was made of, and whether it
// should be hashed anew because the hash is weaker than those made today. For
// an empty hash, an unreadable one (ErrHash) and a password longer than
// MaxPassword it does the same work and says no. ErrBusy: no slot became free.
func (h *Hasher) Verify(ctx context.Context, t core.TenantID, hash, password string) (ok, rehash bool, err error) {
	if err := h.take(ctx, t); err != nil {
		return false, false, err
	}
	defer h.slots.Leave(t)
	p := parameters{h.Memory, h.Passes, hashThreads, h.salt, make([]byte, hashSize)}
	var known bool
	if hash != "" {
		stored, perr := parseHash(hash)
		if perr != nil {
			err = perr
		} else {
			p, known = stored, true
		}
	}
	if len(password) > MaxPassword {
		password, known = "", false
	}
	sum := argon2.IDKey([]byte(password), p.salt, p.passes, p.memory, p.threads, uint32(len(p.sum))) //nolint:gosec // at most 64
	ok = subtle.ConstantTimeCompare(sum, p.sum) == 1 && known
	return ok, ok && (p.memory < h.Memory || p.passes < h.Passes || len(p.sum) < hashSize), err
}

// take waits for a slot. Tenants get theirs by turns.
func (h *Hasher) take(ctx context.Context, t core.TenantID) error {
	h.init()
	waiting, cancel := context.WithTimeout(ctx, h.Wait)
	defer cancel()
	err := h.slots.Take(waiting, t)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
	return ErrBusy
}

type parameters struct {
	memory, passes uint32
	threads        uint8
	salt, sum      []byte
}

// parseHash reads the PHC string form, and refuses parameters that would stall
// the process.
func parseHash(hash string) (parameters, error) {
	var p parameters
	parts := strings.Split(hash, "$")
	if len(hash) > 512 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return p, ErrHash
	}
	settings := strings.Split(parts[3], ",")
	if len(settings) != 3 {
		return p, ErrHash
	}
	for i, s := range []struct {
		name     string
		min, max uint64
	}{{"m=", 8, 1 << 18}, {"t=", 1, 16}, {"p=", 1, 16}} {
		text, ok := strings.CutPrefix(settings[i], s.name)
		n, err := strconv.ParseUint(text, 10, 32)
		if !ok || err != nil || n < s.min || n > s.max {
			return p, ErrHash
		}
		switch i {
		case 0:
			p.memory = uint32(n)
		case 1:
			p.passes = uint32(n)
		case 2:
			p.threads = uint8(n) //nolint:gosec // at most 16
		}
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	p.sum, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(p.salt) < 8 || len(p.salt) > 64 || len(p.sum) < 16 || len(p.sum) > 64 {
		return p, ErrHash
	}
	return p, nil
}
