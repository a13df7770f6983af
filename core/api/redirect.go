package api

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/postern-sso/postern/core"
)

// maxRedirectURIs bounds one client's list.
const maxRedirectURIs = 200

// maxURL bounds a URL, in characters.
const maxURL = 2048

// readRedirectURIs reads where a client may be answered.
func readRedirectURIs(f *fields, into *[]core.RedirectURI) {
	r := rule{required: true}
	if f.tells("redirect_uris", r, listShape(bodyShape("RedirectURIRequest", func(item *fields) { readRedirectURI(item, &core.RedirectURI{}) })).atMost(maxRedirectURIs)) {
		return
	}
	items, ok := f.items("redirect_uris", r)
	if !ok {
		return
	}
	if len(items) > maxRedirectURIs {
		f.fail("redirect_uris", fmt.Sprintf("Ensure this field has no more than %d elements.", maxRedirectURIs))
		return
	}
	out := make([]core.RedirectURI, 0, len(items))
	for i, raw := range items {
		item := &fields{errs: invalid{}}
		u := core.RedirectURI{}
		if json.Unmarshal(raw, &item.raw) != nil || item.raw == nil {
			f.fail("redirect_uris", fmt.Sprintf("Item %d: Invalid data. Expected a dictionary with matching_mode and url.", i+1))
			continue
		}
		readRedirectURI(item, &u)
		if len(item.errs) == 0 {
			if message := badRedirectURI(u); message != "" {
				item.fail("url", message)
			}
		}
		for _, name := range []string{"matching_mode", "url"} {
			for _, message := range item.errs[name] {
				f.fail("redirect_uris", fmt.Sprintf("Item %d, %s: %s", i+1, name, message))
			}
		}
		if !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	*into = out
}

func readRedirectURI(item *fields, u *core.RedirectURI) {
	pick(item, "matching_mode", rule{required: true}, &u.Mode, core.MatchStrict, core.MatchRegex)
	text(item, "url", rule{required: true, max: maxURL}, &u.URL)
}

// redirectURIShape is one in an answer.
func redirectURIShape() shape {
	return objectShape("RedirectURI", always("matching_mode", oneOf([]core.MatchingMode{core.MatchStrict, core.MatchRegex})), always("url", textShape()))
}

// scripting are schemes that run in the page that follows them, or show what the
// sender wrote as if it were ours.
func scripting(scheme string) bool {
	switch strings.ToLower(scheme) {
	case "javascript", "data", "vbscript", "blob", "file", "about", "view-source", "filesystem":
		return true
	}
	return false
}

// badRedirectURI tells what is wrong with a redirect URI, "" for nothing. A strict
// one is an absolute URI without a fragment (RFC 6749 §3.1.2).
func badRedirectURI(u core.RedirectURI) string {
	if len(u.URL) > maxURL {
		return "Ensure this field has no more than 2048 characters."
	}
	if u.Mode == core.MatchRegex {
		// Alone, and not between the brackets that anchor it: "a)|(b" is no expression.
		if _, err := regexp.Compile(u.URL); err != nil {
			return fmt.Sprintf("Invalid Regex Pattern: %s (%v)", u.URL, err)
		}
		// This refuses what is plainly meant so; what else an expression might
		// match is refused when a URI is compared with it.
		if scheme, _, found := strings.Cut(strings.TrimLeft(regexFlags(u.URL), `^(?:\A`), ":"); found && scripting(scheme) {
			return "The scheme " + strings.ToLower(scheme) + " is not allowed."
		}
		return ""
	}
	if strings.ContainsFunc(u.URL, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' }) {
		return "A redirect URI has no spaces, backslashes or characters beyond ASCII: encode them."
	}
	parsed, err := url.Parse(u.URL)
	switch {
	case err != nil || parsed.Scheme == "":
		return fmt.Sprintf("%q is not an absolute URI: write for example https://app.example.com/callback.", u.URL)
	case scripting(parsed.Scheme):
		return "The scheme " + strings.ToLower(parsed.Scheme) + " is not allowed."
	case parsed.User != nil:
		return "A redirect URI has no user name in front of its host."
	case parsed.Fragment != "" || strings.Contains(u.URL, "#"):
		return "A redirect URI has no fragment (the part after #)."
	case (parsed.Scheme == "http" || parsed.Scheme == "https") && parsed.Hostname() == "":
		return fmt.Sprintf("%q names no host.", u.URL)
	}
	return ""
}

// regexFlags is an expression without flags such as (?i) at its start.
func regexFlags(expr string) string {
	if rest, found := strings.CutPrefix(expr, "(?"); found {
		if flags, rest, found := strings.Cut(rest, ")"); found && strings.Trim(flags, "imsU-") == "" {
			return rest
		}
	}
	return expr
}

// isWebURL reports whether s is an absolute http or https URL with a host, and
// nothing that could be read in two ways.
func isWebURL(s string) bool {
	if strings.ContainsFunc(s, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) || c == '\\' }) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}
