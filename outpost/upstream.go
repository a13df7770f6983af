package outpost

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// maxExtra bounds how many headers a person's attributes may name.
const maxExtra = 32

// attributesOf are a person's attributes over those of their groups, in the order of the groups' folded
// names: as expressions have them in group_attributes().
func attributesOf(u *core.User, groups []core.Group) map[string]any {
	sorted := slices.Clone(groups)
	slices.SortStableFunc(sorted, func(a, b core.Group) int { return strings.Compare(core.Fold(a.Name), core.Fold(b.Name)) })
	merged := map[string]any{}
	for i := range sorted {
		expression.Merge(merged, sorted[i].Attributes)
	}
	expression.Merge(merged, u.Attributes)
	return merged
}

// basicAuth is the Authorization header with which a provider logs a person in at an application
// that knows HTTP Basic (RFC 7617). Without a password, or with what the header cannot
// carry, it is "": the application asks for itself.
func basicAuth(p *core.ProxyProvider, u *core.User, attributes map[string]any) string {
	name, _ := attributes[p.BasicAuthUserAttribute].(string)
	if name == "" {
		name = u.Email
	}
	password, _ := attributes[p.BasicAuthPasswordAttribute].(string)
	if password == "" || strings.Contains(name, ":") || len(name)+len(password) > maxValue || strings.ContainsFunc(name+password, notPrintable) {
		return ""
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// extraHeaders are those that attributes name in additionalHeaders, by name. Those that
// say who somebody is, how the connection works or where a request comes from are not for
// attributes to set.
func extraHeaders(attributes map[string]any) (names, values []string) {
	given, _ := attributes["additionalHeaders"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(given)) {
		var value string
		switch v := given[name].(type) {
		case string:
			value = v
		case bool, float64, int64, json.Number:
			text, err := json.Marshal(v)
			if err != nil {
				continue
			}
			value = string(text)
		}
		canonical := http.CanonicalHeaderKey(name)
		if value == "" || len(value) > maxValue || !clean(value) || !plainName(name) || reservedHeader(canonical) || slices.Contains(names, canonical) {
			continue
		}
		if names, values = append(names, canonical), append(values, value); len(names) == maxExtra {
			break
		}
	}
	return names, values
}

// plainName takes letters, digits and dashes: what every server reads alike.
func plainName(name string) bool {
	return name != "" && len(name) <= 64 && strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// reservedHeader reports whether a header is not for attributes to set.
func reservedHeader(name string) bool {
	switch plain := strings.ToLower(name); plain {
	case "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie", "cookie2", "expect", "forwarded", "host", "http2-settings",
		"keep-alive", "origin", "referer", "sec-websocket-key", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "via", "x-real-ip":
		return true
	default:
		return identityHeader(name) || strings.HasPrefix(plain, "proxy-") || strings.HasPrefix(plain, "x-forwarded-")
	}
}

// dropSpellings removes what the client sent under a name that some server would take
// for the same as one that the guard sets.
func dropSpellings(h http.Header, name string) {
	plain := strings.ReplaceAll(strings.ToLower(name), "_", "-")
	for have := range h {
		if len(have) == len(plain) && strings.ReplaceAll(strings.ToLower(have), "_", "-") == plain {
			delete(h, have)
		}
	}
}
