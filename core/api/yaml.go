package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// plainKey is a key of YAML that needs no quotation marks, whatever version of
// YAML reads it.
var plainKey = regexp.MustCompile(`^[$/A-Za-z_][-$/{}.A-Za-z0-9_]*$`)

// yaml writes JSON as block style YAML, in the order of the JSON. Strings stay as
// JSON has them, which YAML 1.2 takes (§7.3.1).
func yaml(data []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	w := &yamlWriter{d: d}
	w.value(w.token(), 0, "")
	return w.out.Bytes()
}

type yamlWriter struct {
	d   *json.Decoder
	out bytes.Buffer
}

func (w *yamlWriter) token() json.Token {
	t, err := w.d.Token()
	if err != nil {
		panic(fmt.Sprintf("api: read back what was just written: %v", err))
	}
	return t
}

// value writes one value. before is what separates a scalar from what it follows; a
// collection begins on a line of its own, unless it follows the dash of a list.
func (w *yamlWriter) value(t json.Token, depth int, before string) {
	switch t {
	case json.Delim('{'), json.Delim('['):
		w.collection(t == json.Delim('['), depth, before)
	default:
		w.out.WriteString(before + scalar(t) + "\n")
	}
}

func (w *yamlWriter) collection(isList bool, depth int, before string) {
	if !w.d.More() {
		empty := "{}"
		if isList {
			empty = "[]"
		}
		w.token()
		w.out.WriteString(before + empty + "\n")
		return
	}
	indent, inDash := strings.Repeat("  ", depth), strings.HasSuffix(before, "- ")
	switch {
	case inDash:
		w.out.WriteString(before)
	case before != "":
		w.out.WriteString("\n")
	}
	for first := true; w.d.More(); first = false {
		if !first || !inDash {
			w.out.WriteString(indent)
		}
		if isList {
			w.value(w.token(), depth+1, "- ")
			continue
		}
		key := fmt.Sprint(w.token())
		if !plainKey.MatchString(key) || reservedWord(key) {
			key = scalar(key)
		}
		w.out.WriteString(key + ":")
		w.value(w.token(), depth+1, " ")
	}
	w.token()
}

// reservedWord reports what some version of YAML reads as something else than a
// string.
func reservedWord(s string) bool {
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return true
	}
	return false
}

func scalar(v any) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("api: encode a scalar: %v", err))
	}
	return strings.TrimSuffix(out.String(), "\n")
}
