package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postern-sso/postern/core"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 1 << 20

// maxDepth bounds how deep attributes may nest.
const maxDepth = 32

// fields are the members of a request's body, and what is wrong with them. The
// readers below put a value where it is due, or an error under the field's name;
// a member that is absent changes nothing, unless it is required.
type fields struct {
	raw     map[string]json.RawMessage
	partial bool // PATCH: nothing is required
	errs    invalid
	// told collects what would be read: see bodyShape.
	told *[]member
}

// readBody reads and checks the body as far as it can be without knowing its fields.
func (c *call) readBody(w http.ResponseWriter) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, c.r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return errTooLarge
	}
	if err != nil {
		return &problem{http.StatusBadRequest, "The request body broke off."}
	}
	c.body = &fields{partial: c.r.Method == http.MethodPatch, errs: invalid{}}
	if len(data) == 0 && c.r.Header.Get("Content-Type") == "" {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &problem{http.StatusUnsupportedMediaType, fmt.Sprintf("Unsupported media type %.80q in request.", c.r.Header.Get("Content-Type"))}
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	if len(data) > longBody {
		if err := c.long(); err != nil {
			return err
		}
	}
	if !utf8.Valid(data) {
		return &problem{http.StatusBadRequest, "JSON parse error - the body is not UTF-8."}
	}
	if err := json.Unmarshal(data, &c.body.raw); err != nil {
		if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
			return invalid{"non_field_errors": {"Invalid data. Expected a dictionary, but got " + kind.Value + "."}}
		}
		return &problem{http.StatusBadRequest, "JSON parse error - " + err.Error()}
	}
	return nil
}

// only drops the members that the route does not describe.
func (f *fields) only(body *shape) {
	maps.DeleteFunc(f.raw, func(name string, _ json.RawMessage) bool {
		return body == nil || !slices.ContainsFunc(body.members, func(m member) bool { return m.name == name })
	})
}

// again is the same body, to be read into another object.
func (f *fields) again() *fields {
	return &fields{raw: f.raw, partial: f.partial, errs: invalid{}}
}

// fail records what is wrong with a field.
func (f *fields) fail(name, message string) {
	if !slices.Contains(f.errs[name], message) {
		f.errs[name] = append(f.errs[name], message)
	}
}

// err is nil where nothing is wrong.
func (f *fields) err() error {
	if len(f.errs) == 0 {
		return nil
	}
	return f.errs
}

// has reports whether the body has the field.
func (f *fields) has(name string) bool {
	_, ok := f.raw[name]
	return ok
}

// value returns a member that is there and not null. Otherwise it has recorded
// what is wrong; zero reports a null that the rule takes.
func (f *fields) value(name string, r rule) (raw json.RawMessage, zero, ok bool) {
	if f.told != nil {
		panic("api: the field " + name + " is read and not described: call tells before value or items")
	}
	raw, ok = f.raw[name]
	switch {
	case !ok && r.required && !f.partial:
		f.fail(name, "This field is required.")
		return nil, false, false
	case !ok:
		return nil, false, false
	case string(raw) == "null" && r.null:
		return nil, true, false
	case string(raw) == "null":
		f.fail(name, "This field may not be null.")
		return nil, false, false
	}
	return raw, false, true
}

// text reads a string. Numbers are taken as Django REST Framework takes them.
func text[T ~string](f *fields, name string, r rule, into *T) {
	if f.tells(name, r, r.shape(string(*into))) {
		return
	}
	raw, zero, ok := f.value(name, r)
	if zero {
		*into = ""
		return
	}
	if !ok {
		return
	}
	var s string
	if c := raw[0]; c == '-' || c >= '0' && c <= '9' {
		s = string(raw)
	} else if c != '"' || json.Unmarshal(raw, &s) != nil {
		f.fail(name, "Not a valid string.")
		return
	}
	if !r.exact {
		s = strings.TrimSpace(s)
	}
	limit := r.limit()
	switch {
	case strings.ContainsRune(s, 0):
		f.fail(name, "Null characters are not allowed.")
	case s == "" && !r.blank:
		f.fail(name, "This field may not be blank.")
	case utf8.RuneCountInString(s) > limit:
		f.fail(name, fmt.Sprintf("Ensure this field has no more than %d characters.", limit))
	case strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) && (!r.lines || !strings.ContainsRune("\n\r\t", c)) }):
		f.fail(name, "Control characters are not allowed.")
	case r.format.refuse(s) != "":
		f.fail(name, r.format.refuse(s))
	default:
		*into = T(s)
	}
}

// choice reads one of a few strings.
func choice[T ~string](f *fields, name string, into *T, of ...T) { pick(f, name, rule{}, into, of...) }

// pick is a choice with a rule.
func pick[T ~string](f *fields, name string, r rule, into *T, of ...T) {
	if f.tells(name, r, oneOf(of).or(string(*into))) {
		return
	}
	raw, _, ok := f.value(name, r)
	if !ok {
		return
	}
	var s string
	if json.Unmarshal(raw, &s) != nil || !slices.Contains(of, T(s)) {
		f.fail(name, fmt.Sprintf("%s is not a valid choice.", quoted(raw)))
		return
	}
	*into = T(s)
}

// boolean reads true or false, as JSON or in words.
func boolean(f *fields, name string, into *bool) {
	if f.tells(name, rule{}, booleanShape().or(*into)) {
		return
	}
	raw, _, ok := f.value(name, rule{})
	if !ok {
		return
	}
	switch strings.ToLower(strings.Trim(string(raw), `"`)) {
	case "true", "1":
		*into = true
	case "false", "0":
		*into = false
	default:
		f.fail(name, "Must be a valid boolean.")
	}
}

// integer reads a whole number, as JSON or in digits. zero is what null means,
// where the rule takes null.
func integer[T ~int64 | ~int](f *fields, name string, r rule, into *T) {
	if f.tells(name, r, integerShape().known(r.about)) {
		return
	}
	raw, zero, ok := f.value(name, r)
	if zero {
		*into = 0
		return
	}
	if !ok {
		return
	}
	n, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 32)
	if err != nil {
		f.fail(name, "A valid integer is required.")
		return
	}
	*into = T(n)
}

// integers reads a list of whole numbers, each once.
func integers[T ~int64](f *fields, name string, into *[]T) {
	if f.tells(name, rule{}, listShape(integerShape()).atMost(maxItems)) {
		return
	}
	items, ok := f.items(name, rule{})
	if !ok {
		return
	}
	out := make([]T, 0, len(items))
	for _, raw := range items {
		n, err := strconv.ParseInt(string(raw), 10, 32)
		if err != nil {
			f.fail(name, "Incorrect type. Expected pk value, received "+quoted(raw)+".")
			return
		}
		if !slices.Contains(out, T(n)) {
			out = append(out, T(n))
		}
	}
	*into = out
}

// reference reads a UUID.
func reference[T ~string](f *fields, name string, r rule, into *T) {
	if f.tells(name, r, uuidShape().known(r.about)) {
		return
	}
	raw, zero, ok := f.value(name, r)
	if zero {
		*into = ""
		return
	}
	if !ok {
		return
	}
	var s string
	if json.Unmarshal(raw, &s) == nil && s == "" && r.null {
		*into = ""
		return
	}
	id, valid := uuid(s)
	if !valid {
		f.fail(name, "Must be a valid UUID.")
		return
	}
	*into = T(id)
}

// references reads a list of UUIDs, each once.
func references[T ~string](f *fields, name string, into *[]T) {
	if f.tells(name, rule{}, listShape(uuidShape()).atMost(maxItems)) {
		return
	}
	items, ok := f.items(name, rule{})
	if !ok {
		return
	}
	out := make([]T, 0, len(items))
	for _, raw := range items {
		var s string
		id, valid := "", json.Unmarshal(raw, &s) == nil
		if valid {
			id, valid = uuid(s)
		}
		if !valid {
			f.fail(name, "Must be a valid UUID. Not so: "+quoted(raw)+".")
			return
		}
		if !slices.Contains(out, T(id)) {
			out = append(out, T(id))
		}
	}
	*into = out
}

// maxItems bounds how many members a list of a body may have.
const maxItems = 10000

// items reads a list.
func (f *fields) items(name string, r rule) ([]json.RawMessage, bool) {
	raw, _, ok := f.value(name, r)
	if !ok {
		return nil, false
	}
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		f.fail(name, "Expected a list of items but got type "+quoted(raw)+".")
		return nil, false
	}
	if len(items) > maxItems {
		f.fail(name, fmt.Sprintf("Ensure this field has no more than %d elements.", maxItems))
		return nil, false
	}
	return items, true
}

// dict reads a JSON object. Numbers stay as they were written.
func dict(f *fields, name string, into *map[string]any) {
	if f.tells(name, rule{}, dictShape()) {
		return
	}
	raw, _, ok := f.value(name, rule{})
	if !ok {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var m map[string]any
	if decoder.Decode(&m) != nil || m == nil {
		f.fail(name, "Value must be a dictionary.")
		return
	}
	if deeper(m, maxDepth) {
		f.fail(name, fmt.Sprintf("Ensure that it nests no deeper than %d levels.", maxDepth))
		return
	}
	*into = m
}

func deeper(v any, levels int) bool {
	if levels < 0 {
		return true
	}
	switch v := v.(type) {
	case map[string]any:
		for _, w := range v {
			if deeper(w, levels-1) {
				return true
			}
		}
	case []any:
		for _, w := range v {
			if deeper(w, levels-1) {
				return true
			}
		}
	}
	return false
}

// timedelta reads a length of time, at least least.
func timedelta(f *fields, name string, least time.Duration, into *core.Timedelta) {
	r := rule{max: 255, about: "A length of time, such as hours=1;minutes=30."}
	if f.tells(name, r, r.shape(string(*into))) {
		return
	}
	var d core.Timedelta
	text(f, name, r, &d)
	if d == "" {
		return
	}
	length, err := d.Duration()
	switch {
	case err != nil:
		f.fail(name, err.Error())
	case length < least:
		f.fail(name, fmt.Sprintf("%q is too short: it must be at least %s.", string(d), least))
	default:
		*into = d
	}
}

// moment reads a time; null is the zero time.
func moment(f *fields, name string, into *time.Time) {
	r := rule{null: true}
	if f.tells(name, r, timeShape()) {
		return
	}
	raw, zero, ok := f.value(name, r)
	if zero {
		*into = time.Time{}
		return
	}
	if !ok {
		return
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04"} {
			if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil && t.Year() > 1970 && t.Year() < 10000 {
				*into = t.UTC().Truncate(time.Microsecond)
				return
			}
		}
	}
	f.fail(name, "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].")
}

// quoted is a value as a message shows it, cut short.
func quoted(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		s = string(raw)
	}
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return `"` + s + `"`
}

// uuid reads a UUID, with dashes or without, into the form with dashes and lower
// case in which IDs are kept.
func uuid(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		s = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	if len(s) != 32 || strings.Trim(s, "0123456789abcdef") != "" {
		return "", false
	}
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:], true
}

// stamp is a time in an answer: RFC 3339 with Z, or null for none.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.999999Z")
}

// orNull is s, or null where it is empty.
func orNull[T ~string](s T) any {
	if s == "" {
		return nil
	}
	return string(s)
}

// list is v, or [] where it is nil: a list is never null.
func list[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}
