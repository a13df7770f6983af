package backup

import (
	"bufio"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const chunkSize = 64 << 10 // bytes of plaintext

// sealer writes chunks.
type sealer struct {
	w     io.Writer
	aead  cipher.AEAD
	count uint64
	plain []byte
	buf   []byte
}

func newSealer(w io.Writer, aead cipher.AEAD) *sealer {
	return &sealer{w: w, aead: aead, plain: make([]byte, 0, chunkSize), buf: make([]byte, 0, 4+chunkSize+aead.Overhead())}
}

// nonce of a chunk: its number, and one bit for the last one.
func nonce(count uint64, last bool) []byte {
	n := make([]byte, 12)
	binary.BigEndian.PutUint64(n[3:11], count)
	if last {
		n[11] = 1
	}
	return n
}

func (s *sealer) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if len(s.plain) == chunkSize {
			if err := s.flush(false); err != nil {
				return written, err
			}
		}
		n := min(len(p), chunkSize-len(s.plain))
		s.plain = append(s.plain, p[:n]...)
		p, written = p[n:], written+n
	}
	return written, nil
}

func (s *sealer) flush(last bool) error {
	n := uint32(len(s.plain) + s.aead.Overhead()) //nolint:gosec // at most 64 KiB and 16
	s.buf = binary.BigEndian.AppendUint32(s.buf[:0], n)
	s.buf = s.aead.Seal(s.buf, nonce(s.count, last), s.plain, nil)
	s.plain, s.count = s.plain[:0], s.count+1
	_, err := s.w.Write(s.buf)
	return err
}

// Close writes the last chunk.
func (s *sealer) Close() error { return s.flush(true) }

// opener reads chunks.
type opener struct {
	r     *bufio.Reader
	aead  cipher.AEAD
	count uint64
	plain []byte // not read yet
	buf   []byte
	last  bool
}

func (o *opener) Read(p []byte) (int, error) {
	for len(o.plain) == 0 {
		if o.last {
			return 0, io.EOF
		}
		if err := o.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, o.plain)
	o.plain = o.plain[n:]
	return n, nil
}

// next opens one chunk. The last one is known by its nonce, and nothing may follow it.
func (o *opener) next() error {
	var head [4]byte
	if _, err := io.ReadFull(o.r, head[:]); err != nil {
		return early(err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < uint32(o.aead.Overhead()) || n > chunkSize+uint32(o.aead.Overhead()) { //nolint:gosec // it is 16
		return fmt.Errorf("chunk %d: %w", o.count+1, ErrCorrupt)
	}
	if cap(o.buf) < int(n) {
		o.buf = make([]byte, chunkSize+o.aead.Overhead())
	}
	sealed := o.buf[:n]
	if _, err := io.ReadFull(o.r, sealed); err != nil {
		return early(err)
	}
	_, err := o.r.Peek(1)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	o.last = err != nil
	// Opening in place would spoil what is still to be tried.
	plain, err := o.aead.Open(nil, nonce(o.count, o.last), sealed, nil)
	if err != nil {
		if _, other := o.aead.Open(nil, nonce(o.count, !o.last), sealed, nil); other == nil && o.last {
			return fmt.Errorf("%w: it ends after chunk %d, and more was written", ErrCorrupt, o.count+1)
		}
		return fmt.Errorf("chunk %d: %w", o.count+1, ErrCorrupt)
	}
	o.plain, o.count = plain, o.count+1
	return nil
}

// early tells of a file that ends in the middle of a chunk.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends in the middle", ErrCorrupt)
	}
	return err
}
