package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/postern-sso/postern/core"
)

// Section is a run of records: a table and its rows.
type Section struct {
	// Kind is "tenant", before a tenant's tables; "table"; or "secret": the master
	// secret, of a backup sealed with a passphrase.
	Kind    string        `json:"kind"`
	Tenant  core.TenantID `json:"tenant,omitempty"`
	Schema  *Schema       `json:"schema,omitempty"` // of a tenant
	Name    string        `json:"name,omitempty"`   // of a table
	Columns []Column      `json:"columns,omitempty"`
}

// Column of a table.
type Column struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // text, int, bool or bytes
}

// What an item in the stream is.
const (
	itemEnd     byte = 0 // of the backup
	itemSection byte = 1
	itemRecord  byte = 2
	itemCount   byte = 3 // end of a section: how many records it had
)

// MaxRecord bounds a record, in bytes.
const MaxRecord = 256 << 20

// Writer writes a backup.
type Writer struct {
	out   *bufio.Writer
	seal  *sealer
	zip   *gzip.Writer
	open  bool   // a section is
	count uint64 // of its records
}

// NewWriter writes the header. Format, salt and what concerns the key are filled in.
// secret is the master secret, carried where the key is a passphrase.
func NewWriter(w io.Writer, h Header, key Key, secret core.Secret) (*Writer, error) {
	h.Format, h.Sealed, h.Salt, h.Argon2 = format, key.kind(), make([]byte, 16), nil
	rand.Read(h.Salt) // never returns an error (Go 1.24)
	if key.Secret == nil {
		h.Argon2 = usual()
	}
	base, err := key.base(&h)
	if err != nil {
		return nil, err
	}
	h.Check = checkValue(base, h.Salt)
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("write backup: %w", err)
	}
	if len(text) > maxHeader {
		return nil, fmt.Errorf("write backup: %d tenants are too many for one file", len(h.Tenants))
	}
	out := bufio.NewWriterSize(w, 1<<18)
	if _, err := fmt.Fprintf(out, "%s%d\n%s\n", magic, format, text); err != nil {
		return nil, fmt.Errorf("write backup: %w", err)
	}
	b := &Writer{out: out, seal: newSealer(out, newCipher(base, h.Salt, text))}
	if b.zip, err = gzip.NewWriterLevel(b.seal, gzip.BestSpeed); err != nil {
		return nil, err
	}
	if key.Secret != nil {
		return b, nil
	}
	if secret == "" {
		return nil, errors.New("write backup: sealed with a passphrase, it has to carry the master secret")
	}
	return b, errors.Join(b.Section(Section{Kind: "secret"}), b.Record([]byte(secret)))
}

// Section begins a section, and ends the one before.
func (b *Writer) Section(s Section) error {
	if err := b.endSection(); err != nil {
		return err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	b.open = true
	return b.item(itemSection, text)
}

// Record adds a record to the section.
func (b *Writer) Record(data []byte) error {
	if len(data) > MaxRecord {
		return fmt.Errorf("write backup: a record of %d bytes is more than %d", len(data), MaxRecord)
	}
	b.count++
	return b.item(itemRecord, data)
}

func (b *Writer) endSection() error {
	if !b.open {
		return nil
	}
	n := b.count
	b.open, b.count = false, 0
	return b.item(itemCount, binary.AppendUvarint(nil, n))
}

func (b *Writer) item(kind byte, data []byte) error {
	head := binary.AppendUvarint([]byte{kind}, uint64(len(data)))
	if _, err := b.zip.Write(head); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	if _, err := io.Copy(b.zip, bytes.NewReader(data)); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

// Close completes the backup. What was not closed is refused by whoever reads it.
func (b *Writer) Close() error {
	if err := b.endSection(); err != nil {
		return err
	}
	if err := b.item(itemEnd, nil); err != nil {
		return err
	}
	for _, end := range []func() error{b.zip.Close, b.seal.Close, b.out.Flush} {
		if err := end(); err != nil {
			return fmt.Errorf("write backup: %w", err)
		}
	}
	return nil
}
