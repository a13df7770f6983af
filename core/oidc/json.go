package oidc

import (
	"encoding/json"
	"slices"
	"strconv"
)

// appendJSON appends v as encoding/json writes it, byte for byte. What claims are mostly made of is written
// here, as each login would pay for reflection on every claim, twice. The rest is left to encoding/json, which
// also says what is wrong with what cannot be written.
func appendJSON(to []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(to, "null"...), nil
	case bool:
		return strconv.AppendBool(to, v), nil
	case int64:
		return strconv.AppendInt(to, v, 10), nil
	case string:
		return appendText(to, v), nil
	case []string:
		if v == nil {
			break
		}
		return appendItems(to, len(v), func(to []byte, i int) ([]byte, error) { return appendText(to, v[i]), nil })
	case []any:
		if v == nil {
			break
		}
		return appendItems(to, len(v), func(to []byte, i int) ([]byte, error) { return appendJSON(to, v[i]) })
	case map[string]any:
		if v == nil {
			break
		}
		return appendObject(to, v)
	}
	text, err := json.Marshal(v)
	return append(to, text...), err
}

// appendText appends a string. Most need no escape.
func appendText(to []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, _ := json.Marshal(s) // no string is refused
			return append(to, text...)
		}
	}
	to = append(append(to, '"'), s...)
	return append(to, '"')
}

func appendItems(to []byte, n int, item func(to []byte, i int) ([]byte, error)) (_ []byte, err error) {
	to = append(to, '[')
	for i := range n {
		if i > 0 {
			to = append(to, ',')
		}
		if to, err = item(to, i); err != nil {
			return to, err
		}
	}
	return append(to, ']'), nil
}

func appendObject(to []byte, m map[string]any) (_ []byte, err error) {
	var room [24]string // more claims than most tokens have
	names := room[:0]
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	to = append(to, '{')
	for i, name := range names {
		if i > 0 {
			to = append(to, ',')
		}
		if to, err = appendJSON(append(appendText(to, name), ':'), m[name]); err != nil {
			return to, err
		}
	}
	return append(to, '}'), nil
}

// claim is one whose value is a text.
type claim struct{ name, value string }

// with adds claims to the JSON object that both tokens of an answer have in
// common, which is written once for both. It holds some already, and none of these.
func with(claims []byte, more ...claim) []byte {
	room := len(claims)
	for _, c := range more {
		room += len(c.name) + len(c.value) + len(`,"":""`)
	}
	out := append(make([]byte, 0, room), claims[:len(claims)-1]...)
	for _, c := range more {
		out = appendText(append(out, ','), c.name)
		out = appendText(append(out, ':'), c.value)
	}
	return append(out, '}')
}

// json is the answer as encoding/json writes it. Tokens are not looked through for what needs an escape: they are
// base64url with dots between (RFC 7515 §7.1, RFC 7516 §7.1), or letters and digits.
func (a *tokenAnswer) json() []byte {
	out := make([]byte, 0, len(a.AccessToken)+len(a.RefreshToken)+len(a.Scope)+len(a.IDToken)+160)
	out = append(append(out, `{"access_token":"`...), a.AccessToken...)
	if a.RefreshToken != "" {
		out = append(append(out, `","refresh_token":"`...), a.RefreshToken...)
	}
	out = appendText(append(out, `","token_type":`...), a.TokenType)
	out = appendText(append(out, `,"scope":`...), a.Scope)
	out = strconv.AppendInt(append(out, `,"expires_in":`...), a.ExpiresIn, 10)
	out = append(append(out, `,"id_token":"`...), a.IDToken...)
	return append(out, `"}`...)
}
