package backup

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	magic     = "postern-backup "
	format    = 1
	maxHeader = 16 << 20 // bytes: a hundred thousand tenants fit
)

// Header says what a backup holds. Whoever has the file can read it.
type Header struct {
	Format  int       `json:"format"`
	Product string    `json:"product"` // version that wrote it
	Created time.Time `json:"created"`
	// Engine it was taken from: "sqlite" or "postgres". It can be restored into
	// either.
	Engine string `json:"engine"`
	// Schema are the versions of the default tenant's tables.
	Schema Schema `json:"schema"`
	// Sessions: whether logins are in it.
	Sessions bool     `json:"sessions"`
	Tenants  []Tenant `json:"tenants"`
	// Fingerprint of the master secret that the data was written with, in hex. It
	// tells nothing of the secret.
	Fingerprint string `json:"fingerprint"`
	// Sealed by "secret", the master secret, or by "passphrase". Then the master
	// secret is in the backup.
	Sealed string `json:"sealed"`
	Salt   []byte `json:"salt"`
	Argon2 *cost  `json:"argon2,omitempty"`
	Check  []byte `json:"check"` // tells a wrong key from a damaged file
}

// Schema are versions of a tenant's tables.
type Schema struct {
	Directory int64 `json:"directory"`
	Sessions  int64 `json:"sessions"`
}

// Tenant is one of those in a backup.
type Tenant struct {
	ID   core.TenantID `json:"id"`
	UUID string        `json:"uuid"`
}

// ReadHeader reads the beginning of a backup, without a key. What it says is not
// certain before NewReader has taken it.
func ReadHeader(r *bufio.Reader) (*Header, []byte, error) {
	line := make([]byte, len(magic))
	if _, err := io.ReadFull(r, line); err != nil || string(line) != magic {
		return nil, nil, fmt.Errorf("read backup: %w: it does not begin as one", ErrNotBackup)
	}
	var version int
	if _, err := fmt.Fscanf(r, "%d\n", &version); err != nil || version != format {
		return nil, nil, fmt.Errorf("read backup: %w: its format is not %d", ErrNotBackup, format)
	}
	text, err := readLine(r)
	if err != nil {
		return nil, nil, err
	}
	h := new(Header)
	if err := json.Unmarshal(text, h); err != nil || h.Format != format {
		return nil, nil, fmt.Errorf("read backup: %w: its header cannot be read", ErrCorrupt)
	}
	return h, text, nil
}

func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull) || len(line) > maxHeader:
			return nil, fmt.Errorf("read backup: %w: its header has no end", ErrCorrupt)
		}
	}
}
