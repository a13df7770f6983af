package backup

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/postern-sso/postern/core"
)

// Reader reads a backup. What it has given is authentic, but whether it was all is
// known only when Next has returned io.EOF.
type Reader struct {
	Header Header
	// Secret is the master secret, where the backup carries it.
	Secret core.Secret

	in    *bufio.Reader
	zip   *gzip.Reader
	plain *bufio.Reader
	open  bool
	count uint64
	done  bool
	buf   []byte
}

// Open reads the header and asks for the key that it needs.
func Open(r io.Reader, key func(*Header) (Key, error)) (*Reader, error) {
	in := bufio.NewReaderSize(r, 1<<18)
	h, text, err := ReadHeader(in)
	if err != nil {
		return nil, err
	}
	k, err := key(h)
	if err != nil {
		return nil, err
	}
	if k.kind() != h.Sealed {
		return nil, fmt.Errorf("read backup: %w: it is sealed with a %s", ErrKey, h.Sealed)
	}
	base, err := k.base(h)
	if err != nil {
		return nil, err
	}
	if !sameKey(base, h) {
		return nil, fmt.Errorf("read backup: %w: this %s is not the one", ErrKey, h.Sealed)
	}
	b := &Reader{Header: *h, in: in}
	if b.zip, err = gzip.NewReader(&opener{r: in, aead: newCipher(base, h.Salt, text)}); err != nil {
		return nil, damaged(err)
	}
	b.plain = bufio.NewReaderSize(b.zip, 1<<16)
	if h.Sealed == "passphrase" {
		return b, b.readSecret()
	}
	return b, nil
}

func (b *Reader) readSecret() error {
	s, err := b.Next()
	if err != nil {
		return err
	}
	if s.Kind != "secret" {
		return fmt.Errorf("read backup: %w: the master secret is not in it", ErrCorrupt)
	}
	secret, err := b.Record()
	if err != nil {
		return err
	}
	b.Secret = core.Secret(secret)
	if _, err := b.Record(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("read backup: %w", errors.Join(ErrCorrupt, err))
	}
	return nil
}

// Next gives the next section, past what is left of the one before. At the end of
// the backup, which is then whole, it gives io.EOF.
func (b *Reader) Next() (*Section, error) {
	for b.open {
		if _, err := b.Record(); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	if b.done {
		return nil, io.EOF
	}
	kind, data, err := b.item()
	if err != nil {
		return nil, err
	}
	switch kind {
	case itemSection:
		s := new(Section)
		if err := json.Unmarshal(data, s); err != nil {
			return nil, fmt.Errorf("read backup: section: %w", err)
		}
		b.open, b.count = true, 0
		return s, nil
	case itemEnd:
		return nil, b.end()
	}
	return nil, fmt.Errorf("read backup: %w: item %d between sections", ErrCorrupt, kind)
}

// end reads on to the last chunk.
func (b *Reader) end() error {
	n, err := io.Copy(io.Discard, b.plain)
	if err != nil {
		return damaged(err)
	}
	if n > 0 {
		return fmt.Errorf("read backup: %w: something follows its end", ErrCorrupt)
	}
	b.done = true
	return io.EOF
}

// Record gives the section's next record, valid until the next call. At its end it
// gives io.EOF.
func (b *Reader) Record() ([]byte, error) {
	if !b.open {
		return nil, io.EOF
	}
	kind, data, err := b.item()
	if err != nil {
		return nil, err
	}
	switch kind {
	case itemRecord:
		b.count++
		return data, nil
	case itemCount:
		n, size := binary.Uvarint(data)
		if size != len(data) || n != b.count {
			return nil, fmt.Errorf("read backup: %w: a section has %d records and should have %d", ErrCorrupt, b.count, n)
		}
		b.open = false
		return nil, io.EOF
	}
	return nil, fmt.Errorf("read backup: %w: item %d in a section", ErrCorrupt, kind)
}

func (b *Reader) item() (byte, []byte, error) {
	kind, err := b.plain.ReadByte()
	if err != nil {
		return 0, nil, damaged(err)
	}
	n, err := binary.ReadUvarint(b.plain)
	if err != nil {
		return 0, nil, damaged(err)
	}
	if n > MaxRecord {
		return 0, nil, fmt.Errorf("read backup: %w: a record of %d bytes", ErrCorrupt, n)
	}
	if uint64(cap(b.buf)) < n {
		b.buf = make([]byte, n)
	}
	if _, err := io.ReadFull(b.plain, b.buf[:n]); err != nil {
		return 0, nil, damaged(err)
	}
	return kind, b.buf[:n], nil
}

// damaged is an error of the stream, where an end is too early in any case.
func damaged(err error) error {
	if errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("read backup: %w", err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) {
		return fmt.Errorf("read backup: %w", errors.Join(ErrCorrupt, err))
	}
	return fmt.Errorf("read backup: %w", err)
}
