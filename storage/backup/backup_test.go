package backup

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func secretKey(fill byte) Key { return Key{Secret: (*[32]byte)(bytes.Repeat([]byte{fill}, 32))} }

func with(k Key) func(*Header) (Key, error) { return func(*Header) (Key, error) { return k, nil } }

// sample is a backup of some sections of which one spans many chunks.
func sample(t *testing.T, key Key) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, Header{Product: "1", Created: time.Unix(1, 0).UTC(), Engine: "sqlite", Tenants: []Tenant{{ID: "public"}}}, key, "the master secret")
	must(t, err)
	must(t, w.Section(Section{Kind: "tenant", Tenant: "public", Schema: &Schema{1, 1}}))
	must(t, w.Section(Section{Kind: "table", Tenant: "public", Name: "empty"}))
	must(t, w.Section(Section{Kind: "table", Tenant: "public", Name: "full"}))
	for i := range 300 {
		must(t, w.Record([]byte(core.RandomAlphanumeric(1000)+fmt.Sprint(i))))
	}
	must(t, w.Close())
	return b.Bytes()
}

// read gives what a backup holds, or the first error.
func read(file []byte, key Key) (string, error) {
	r, err := Open(bytes.NewReader(file), with(key))
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out.String(), nil
		}
		if err != nil {
			return "", err
		}
		n := 0
		for {
			if _, err := r.Record(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return "", err
			}
			n++
		}
		fmt.Fprintf(&out, "%s %s %d\n", s.Kind, s.Name, n)
	}
}

const sampled = "tenant  0\ntable empty 0\ntable full 300\n"

func TestWriteAndRead(t *testing.T) {
	for name, key := range map[string]Key{"secret": secretKey('a'), "passphrase": {Passphrase: "correct horse"}} {
		file := sample(t, key)
		got, err := read(file, key)
		if err != nil || got != sampled {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		h, _, err := ReadHeader(bufio.NewReader(bytes.NewReader(file)))
		if err != nil || h.Sealed != name || h.Product != "1" || h.Tenants[0].ID != "public" {
			t.Errorf("%s: header %+v, %v", name, h, err)
		}
		if bytes.Contains(file, []byte("master secret")) || bytes.Contains(file, []byte("empty")) {
			t.Errorf("%s: the file can be read", name)
		}
	}
	a, b := sample(t, secretKey('a')), sample(t, secretKey('a'))
	if bytes.Equal(a[len(a)/2:len(a)/2+64], b[len(b)/2:len(b)/2+64]) {
		t.Error("two files share a key stream")
	}
}

func TestWrongKey(t *testing.T) {
	bySecret, byPassphrase := sample(t, secretKey('a')), sample(t, Key{Passphrase: "correct horse"})
	for what, err := range map[string]error{
		"another secret":     second(read(bySecret, secretKey('b'))),
		"another passphrase": second(read(byPassphrase, Key{Passphrase: "correct horsf"})),
		"a secret":           second(read(byPassphrase, secretKey('a'))),
		"a passphrase":       second(read(bySecret, Key{Passphrase: "correct horse"})),
	} {
		if !errors.Is(err, ErrKey) {
			t.Errorf("%s: error %v", what, err)
		}
	}
	if _, err := NewWriter(io.Discard, Header{}, Key{Passphrase: "short"}, "s"); err == nil {
		t.Error("sealed with a short passphrase")
	}
	if _, err := NewWriter(io.Discard, Header{}, Key{Passphrase: "long enough it is"}, ""); err == nil {
		t.Error("sealed with a passphrase, and the master secret is not in it")
	}
	// A header may not make its reader work for hours.
	heavy := bytes.Replace(byPassphrase, []byte(`"memory":65536`), []byte(`"memory":4194304`), 1)
	if _, err := read(heavy, Key{Passphrase: "correct horse"}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("error %v", err)
	}
}

func second(_ string, err error) error { return err }

// chunks cuts a file into its header and its chunks.
func chunks(t *testing.T, file []byte) (head []byte, out [][]byte) {
	t.Helper()
	at := bytes.IndexByte(file, '\n') + 1
	at += bytes.IndexByte(file[at:], '\n') + 1
	head = file[:at]
	for at < len(file) {
		n := 4 + int(binary.BigEndian.Uint32(file[at:]))
		out = append(out, file[at:at+n])
		at += n
	}
	if len(out) < 3 {
		t.Fatalf("only %d chunks", len(out))
	}
	return head, out
}

// attacks are ways to change a file. Each leaves whole chunks.
func attacks(head []byte, c [][]byte) map[string][]byte {
	join := func(cs ...[]byte) []byte { return append(bytes.Clone(head), bytes.Join(cs, nil)...) }
	return map[string][]byte{
		"the last chunk is missing": join(c[:len(c)-1]...),
		"all but one are missing":   join(c[0]),
		"all are missing":           join(),
		"the first is missing":      join(c[1:]...),
		"two are exchanged":         join(append([][]byte{c[1], c[0]}, c[2:]...)...),
		"one comes twice":           join(append([][]byte{c[0]}, c...)...),
		"something follows":         join(append(c[:len(c):len(c)], c[0])...),
	}
}

func TestChangedFile(t *testing.T) {
	key := secretKey('a')
	file := sample(t, key)
	head, c := chunks(t, file)
	bad := attacks(head, c)
	for _, at := range []int{len(head) + 2, len(head) + 100, len(file) / 2, len(file) - 1} {
		changed := bytes.Clone(file)
		changed[at] ^= 0x10
		bad[fmt.Sprint("byte ", at)] = changed
		bad[fmt.Sprint("ends at ", at)] = file[:at]
	}
	bad["another engine"] = bytes.Replace(file, []byte(`"sqlite"`), []byte(`"duckdb"`), 1)
	bad["another tenant"] = bytes.Replace(file, []byte(`"public"`), []byte(`"t_abcd"`), 1)
	for what, changed := range bad {
		if _, err := read(changed, key); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: error %v", what, err)
		}
	}
	for what, other := range map[string][]byte{"nothing": nil, "text": []byte("hello"), "a later format": bytes.Replace(file, []byte("backup 1"), []byte("backup 2"), 1)} {
		if _, err := read(other, key); !errors.Is(err, ErrNotBackup) {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

// trusting is a cipher that checks nothing.
type trusting struct{ cipher.AEAD }

func (trusting) Seal(dst, _, plain, _ []byte) []byte {
	return append(append(dst, plain...), make([]byte, 16)...)
}
func (trusting) Open(dst, _, sealed, _ []byte) ([]byte, error) {
	return append(dst, sealed[:len(sealed)-16]...), nil
}

// The control: where nothing is authenticated, each of the attacks on chunks goes
// unnoticed by the stream.
func TestChangedFileControl(t *testing.T) {
	aead := trusting{newCipher(make([]byte, 32), nil, nil)}
	var b bytes.Buffer
	b.WriteString("\n\n")
	s := newSealer(&b, aead)
	_, err := s.Write(make([]byte, 3*chunkSize+10))
	must(t, err)
	must(t, s.Close())
	head, c := chunks(t, b.Bytes())
	for what, changed := range attacks(head, c) {
		if what == "all are missing" { // no cipher is needed to see that
			continue
		}
		_, err := io.Copy(io.Discard, &opener{r: bufio.NewReader(bytes.NewReader(changed[len(head):])), aead: aead})
		if err != nil {
			t.Errorf("%s: error %v: the test of changed files would see it without a cipher", what, err)
		}
	}
}

// A file that could not be written whole leaves the one before.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	must(t, WriteFile(path, func(w io.Writer) error { _, err := io.WriteString(w, "old"); return err }))
	full := errors.New("disk full")
	err := WriteFile(path, func(w io.Writer) error {
		_, err := io.WriteString(w, "ne")
		return errors.Join(err, full)
	})
	if !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != "old" {
		t.Errorf("%q, %v", b, err)
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("%v, %v: a scrap is left", all, err)
	}
}
