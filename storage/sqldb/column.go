package sqldb

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// micros is how times are kept: microseconds since 1970, 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// stamp is the present as it will be read again.
func (db *DB) stamp() time.Time { return fromMicros(micros(db.now())) }

// newID makes a UUIDv7 (RFC 9562 §5.7): 48 bits of milliseconds, the rest random.
func (db *DB) newID() string {
	var b [16]byte
	rand.Read(b[:]) // never returns an error (Go 1.24)
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(0, db.now().UnixMilli())))
	copy(b[:6], ms[2:])
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// maxJSON bounds what one JSON column holds.
const maxJSON = 1 << 20

// toJSON is a list or object as it is kept. A nil one is kept as empty.
func toJSON[T []string | []int64 | map[string]any | jsonList](v T) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	if len(b) > maxJSON {
		return "", fmt.Errorf("%d bytes of JSON are more than %d", len(b), maxJSON)
	}
	return string(b), nil
}

// jsonList is a list of anything that marshals.
type jsonList []any

func fromJSON(text string, v any) error {
	if text == "" || text == "null" || text == "[]" { // an empty list is nil
		return nil
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("stored JSON: %w", err)
	}
	return nil
}

// fromJSONObject reads an object as Python would: an integer stays one (int64, or
// *big.Int where it is larger), and is not turned into a float64.
func fromJSONObject(text string) (map[string]any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("stored JSON: %w", err)
	}
	if v == nil {
		return map[string]any{}, nil
	}
	for k := range v {
		v[k] = plainNumbers(v[k])
	}
	return v, nil
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if n, ok := new(big.Int).SetString(v.String(), 10); ok {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	}
	return v
}

// orNull keeps an empty reference as NULL, so that it may be unique or point
// to another table.
func orNull[T ~string | ~int64](v T) any {
	var none T
	if v == none {
		return nil
	}
	return v
}

// validText reports whether every database can hold s.
func validText(s string) bool { return strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) }

// plain turns arguments into what every driver takes: a named string type into a
// string, a hash into bytes.
func plain(args []any) ([]any, error) {
	out := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case nil, int64, bool:
			out[i] = a
		case []byte:
			out[i] = a
			if a == nil {
				out[i] = nil
			}
		case [32]byte:
			out[i] = a[:]
		default:
			v := reflect.ValueOf(a)
			switch {
			case v.Kind() == reflect.String:
				s := v.String()
				if !validText(s) {
					return nil, errText
				}
				out[i] = s
			case v.CanInt():
				out[i] = v.Int()
			default:
				return nil, fmt.Errorf("argument %d is a %T", i+1, a)
			}
		}
	}
	return out, nil
}
