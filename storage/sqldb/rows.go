package sqldb

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/postern-sso/postern/storage/backup"
)

// How a value begins in a record.
const (
	valueNull byte = iota
	valueInt
	valueFalse
	valueTrue
	valueText
	valueBytes
)

// plainValue is a scanned value as its column's kind has it: nil, int64, bool,
// string or []byte. A driver may give it in another type, but not another value.
func plainValue(kind string, v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case int64:
		switch {
		case kind == "int":
			return v, nil
		case kind == "bool" && (v == 0 || v == 1):
			return v == 1, nil
		}
	case bool:
		if kind == "bool" {
			return v, nil
		}
	case string:
		switch {
		case kind == "text" && validText(v):
			return v, nil
		case kind == "text":
			return nil, errText
		}
	case []byte:
		if kind == "bytes" {
			return v, nil
		}
	}
	return nil, fmt.Errorf("a %T in a column of %s", v, kind)
}

// appendRow encodes the values of a row.
func appendRow(b []byte, values []any) []byte {
	for _, v := range values {
		switch v := v.(type) {
		case int64:
			b = binary.AppendVarint(append(b, valueInt), v)
		case bool:
			if v {
				b = append(b, valueTrue)
			} else {
				b = append(b, valueFalse)
			}
		case string:
			b = append(binary.AppendUvarint(append(b, valueText), uint64(len(v))), v...)
		case []byte:
			b = append(binary.AppendUvarint(append(b, valueBytes), uint64(len(v))), v...)
		default:
			b = append(b, valueNull)
		}
	}
	return b
}

var errRow = errors.New("a row of the backup does not fit its columns")

// readRow is the inverse. It refuses what does not fit the columns.
func readRow(b []byte, columns []backup.Column) ([]any, error) {
	out := make([]any, len(columns))
	for i, c := range columns {
		if len(b) == 0 {
			return nil, errRow
		}
		kind := b[0]
		b = b[1:]
		var v any
		switch kind {
		case valueNull:
		case valueFalse, valueTrue:
			v = kind == valueTrue
		case valueInt:
			n, size := binary.Varint(b)
			if size <= 0 {
				return nil, errRow
			}
			v, b = n, b[size:]
		case valueText, valueBytes:
			n, size := binary.Uvarint(b)
			if size <= 0 || n > uint64(len(b)-size) { //nolint:gosec // size is no more than len(b)
				return nil, errRow
			}
			data := b[size : size+int(n)] //nolint:gosec // it is no longer than b
			b = b[size+int(n):]           //nolint:gosec // as above
			if kind == valueText {
				v = string(data)
			} else {
				v = append([]byte{}, data...)
			}
		default:
			return nil, errRow
		}
		v, err := plainValue(c.Kind, v)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		out[i] = v
	}
	if len(b) > 0 {
		return nil, errRow
	}
	return out, nil
}
