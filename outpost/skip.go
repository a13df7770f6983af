package outpost

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/postern-sso/postern/core"
)

// Skip is one rule for paths that need no login.
type Skip struct {
	re      *regexp.Regexp
	fullURL bool // compared with scheme, host and path
}

// ParseSkip reads a rule of the configuration. "/public/*" and "/health" are compared
// with the whole path: "*" at the end stands for anything, and before the end, as in
// Caddy's own path matcher, for anything within one segment. "^/public/" is a regular
// expression (RE2). Letter case counts, and the query is never looked at.
func ParseSkip(rule string) (Skip, error) {
	switch {
	case strings.HasPrefix(rule, "^"):
		re, err := regexp.Compile(rule)
		if err != nil {
			return Skip{}, fmt.Errorf("skip_path %q is not a regular expression: %w", rule, err)
		}
		return Skip{re: re}, nil
	case strings.HasPrefix(rule, "/"):
		if strings.ContainsAny(rule, "?#") {
			return Skip{}, fmt.Errorf("skip_path %q holds a query: only paths are compared", rule)
		}
		parts := strings.Split(rule, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		pattern := strings.Join(parts, "[^/]*")
		if strings.HasSuffix(rule, "*") {
			pattern = strings.TrimSuffix(pattern, "[^/]*") + ".*"
		}
		return Skip{re: regexp.MustCompile(`^(?s:` + pattern + `)$`)}, nil
	}
	return Skip{}, fmt.Errorf("skip_path %q: write a path such as /public/*, or a regular expression that begins with ^", rule)
}

// providerSkips reads the rules of a proxy provider: RE2 expressions, one a line,
// not anchored. As in authentik, one that cannot be read is passed over: then more
// paths need a login, not fewer.
func providerSkips(lines string, fullURL bool) []Skip {
	var out []Skip
	for line := range strings.SplitSeq(lines, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if re, err := regexp.Compile(line); err == nil {
			out = append(out, Skip{re: re, fullURL: fullURL})
		}
	}
	return out
}

// skips reports whether a rule names the path of a request, as the client sent it.
func skips(rules []Skip, info *core.RequestInfo) bool {
	if len(rules) == 0 {
		return false
	}
	p, ok := plainPath(info.URI)
	if !ok {
		return false
	}
	for _, r := range rules {
		subject := p
		if r.fullURL {
			subject = info.Origin() + p
		}
		if r.re.MatchString(subject) {
			return true
		}
	}
	return false
}

// rawPath is the path of a request target, without its query.
func rawPath(uri string) string {
	p, _, _ := strings.Cut(uri, "?")
	return p
}

// plainPath decodes the path of a request target, and returns false for one
// that two programs might read in two ways: a second round of decoding, an encoded
// slash, dot or backslash, dot segments, empty segments, path parameters,
// overlong UTF-8, control characters. Such a path may be served, but never
// without a login: what we compared would not be what the application acts on.
func plainPath(uri string) (string, bool) {
	raw := rawPath(uri)
	if !strings.HasPrefix(raw, "/") || strings.ContainsAny(raw, "\\;#") {
		return "", false
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '%' {
			continue
		}
		if i+2 >= len(raw) {
			return "", false
		}
		switch strings.ToLower(raw[i+1 : i+3]) {
		case "2f", "2e", "5c", "25", "3b", "3f", "23": // / . \ % ; ? #
			return "", false
		}
	}
	p, err := url.PathUnescape(raw)
	if err != nil || !utf8.ValidString(p) || strings.IndexFunc(p, notPrintable) >= 0 {
		return "", false
	}
	want := path.Clean(p)
	if strings.HasSuffix(p, "/") && want != "/" {
		want += "/"
	}
	return p, p == want
}
