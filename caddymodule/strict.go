package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// strict reads a module's JSON setting by setting, so that an error names the one that is wrong
// and says what would be right. Caddy puts the module before it.
func strict(text []byte, into any) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(text, &given); err != nil {
		return errors.New("want an object of settings")
	}
	v := reflect.ValueOf(into).Elem()
	settings := map[string]reflect.Value{}
	var names []string
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); name != "" {
			settings[name] = v.Field(i)
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		f, ok := settings[name]
		if !ok && len(names) == 0 {
			return fmt.Errorf("%q is no setting: there is none here, all are those of the app `postern`", name)
		}
		if !ok {
			return fmt.Errorf("%q is no setting: there are %s", name, strings.Join(names, ", "))
		}
		d := json.NewDecoder(bytes.NewReader(given[name]))
		d.DisallowUnknownFields()
		if err := d.Decode(f.Addr().Interface()); err != nil {
			return fmt.Errorf("%s: %w", name, wanted(f.Type(), err))
		}
	}
	return nil
}

// wanted says what a setting takes. The value itself may be a secret.
func wanted(t reflect.Type, err error) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var wrong *json.UnmarshalTypeError
	switch {
	case t == reflect.TypeFor[caddy.Duration]():
		return errors.New(`want a duration, such as "60s", "1h" or "2d"`)
	case !errors.As(err, &wrong) || t.Kind() == reflect.Struct:
		return err
	case t.Kind() == reflect.Bool:
		return fmt.Errorf("want true or false, and not a %s", wrong.Value)
	case t.Kind() == reflect.Slice:
		return fmt.Errorf("want a list of texts, and not a %s", wrong.Value)
	}
	return fmt.Errorf("want a text, and not a %s", wrong.Value)
}

// UnmarshalJSON reads the settings of the app.
func (a *App) UnmarshalJSON(text []byte) error { return strict(text, a) }

// UnmarshalJSON reads the settings of a guard.
func (g *Guard) UnmarshalJSON(text []byte) error { return strict(text, g) }

// UnmarshalJSON takes no settings.
func (p *Provider) UnmarshalJSON(text []byte) error { return strict(text, p) }

// UnmarshalJSON takes no settings.
func (m *MediaServer) UnmarshalJSON(text []byte) error { return strict(text, m) }

var (
	_ json.Unmarshaler = (*App)(nil)
	_ json.Unmarshaler = (*Guard)(nil)
	_ json.Unmarshaler = (*Provider)(nil)
	_ json.Unmarshaler = (*MediaServer)(nil)
)
