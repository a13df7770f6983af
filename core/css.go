package core

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// MaxCSS bounds a brand's stylesheet, in characters.
const MaxCSS = 64 << 10

var (
	cssEscape = regexp.MustCompile(`(?s)\\(?:([0-9a-fA-F]{1,6})[ \t\r\n\f]?|(.))`)
	cssURL    = regexp.MustCompile(`(?s)url\(\s*["']?([^"')]*)`)
	// cssLoads are the other ways in which a stylesheet names what is to be loaded.
	cssLoads = regexp.MustCompile(`@import|\b(src|image|image-set|cross-fade|element)\(`)
)

var errCSS = errors.New("it may load nothing from elsewhere: no @import, and url() only with a path of this host or a data:image/ URL")

// CheckCSS refuses a stylesheet that loads anything from another host: by what it loads and
// when, it would tell that host what the page holds. It is read as a browser reads it,
// escapes and all; what is within a comment or a text counts, too.
func CheckCSS(css string) error {
	// The line breaks that CSS knows (CSS Syntax 3.3), each one LF before anything else is read:
	// an escape before CR LF ends with both.
	css = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\f", "\n").Replace(css)
	plain := cssEscape.ReplaceAllStringFunc(css, func(s string) string {
		m := cssEscape.FindStringSubmatch(s)
		if m[1] == "" {
			return m[2]
		}
		n, err := strconv.ParseUint(m[1], 16, 32)
		if err != nil || n == 0 || n > 0x10ffff {
			return "\uFFFD"
		}
		return string(rune(n))
	})
	plain = strings.ToLower(plain)
	if cssLoads.MatchString(plain) {
		return errCSS
	}
	urls := cssURL.FindAllStringSubmatch(plain, -1)
	if len(urls) != strings.Count(plain, "url(") {
		return errCSS
	}
	for _, m := range urls {
		// Browsers drop line breaks and tabs from URLs.
		to := strings.Join(strings.Fields(m[1]), "")
		local := strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") && !strings.HasPrefix(to, `/\`)
		if !local && !strings.HasPrefix(to, "data:image/") {
			return errCSS
		}
	}
	return nil
}
