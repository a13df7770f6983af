package sqldb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"

	"github.com/postern-sso/postern/core"
)

// setAttributes keeps one row for each top-level key, to be found by: table is
// "user" or "group".
func (x *tx) setAttributes(ctx context.Context, table, id, attributes string) error {
	if err := x.exec(ctx, fmt.Sprintf(`DELETE FROM %s_attributes WHERE %[1]s_id = $1`, table), id); err != nil {
		return err
	}
	pairs, err := attributePairs(attributes)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if err := x.exec(ctx, fmt.Sprintf(`INSERT INTO %s_attributes (%[1]s_id, pair) VALUES ($1, $2)`, table), id, p); err != nil {
			return err
		}
	}
	return nil
}

// attributePairs hashes each top-level key with its value: what is stored is
// short whatever was written, and equal for equal JSON.
func attributePairs(object string) ([]string, error) {
	v, err := fromJSONObject(object)
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(v))
	for key, value := range v {
		text, err := json.Marshal(canonical(value))
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		fmt.Fprintf(h, "%d:%s=%s", len(key), key, text)
		out = append(out, hex.EncodeToString(h.Sum(nil)))
	}
	return out, nil
}

// canonical makes 1 and 1.0 the same number, as they are in JSON.
func canonical(v any) any {
	switch v := v.(type) {
	case int64:
		return json.Number(strconv.FormatInt(v, 10))
	case *big.Int:
		return json.Number(v.String())
	case float64:
		if v == float64(int64(v)) {
			return json.Number(strconv.FormatInt(int64(v), 10))
		}
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = canonical(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = canonical(v[k])
		}
		return out
	}
	return v
}

// attributesText is how attributes are kept.
func attributesText(v map[string]any) (string, error) {
	if v == nil {
		return "{}", nil
	}
	text, err := toJSON(v)
	if err != nil {
		return "", &core.FieldError{Field: "attributes", Message: "Value must be valid JSON of at most 1 MiB."}
	}
	return text, nil
}
