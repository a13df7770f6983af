package expression

import "strings"

// translatePattern turns Python's syntax for regular expressions into RE2's. Its
// classes know all of Unicode, as Python's do. What RE2 does not have is an error that
// says so.
func translatePattern(s string) (out, why string) {
	var b strings.Builder
	class := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			i++
			if t := translateEscape(s[i], class); t != "" {
				b.WriteString(t)
				continue
			}
			if s[i] >= '1' && s[i] <= '9' && !class {
				return "", "backreferences are not available"
			}
			b.WriteByte('\\')
			b.WriteByte(s[i])
		case class:
			if c == ']' {
				class = false
			}
			if c == '[' {
				b.WriteByte('\\') // Python: an ordinary character
			}
			b.WriteByte(c)
		case c == '[':
			class = true
			b.WriteByte(c)
			if strings.HasPrefix(s[i+1:], "^") {
				i++
				b.WriteByte('^')
			}
			if strings.HasPrefix(s[i+1:], "]") {
				i++
				b.WriteString(`\]`)
			}
		case strings.HasPrefix(s[i:], "(?"):
			if why := absentGroup(s[i+2:]); why != "" {
				return "", why
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}

// translateEscape is what an escape of Python's is in RE2, or empty where it is the same.
func translateEscape(c byte, class bool) string {
	const word, space = `\p{L}\p{N}_`, `\t-\r\x1c-\x20\x{85}\p{Z}`
	switch c {
	case 'd':
		return `\p{Nd}`
	case 'D':
		return `\P{Nd}`
	case 'w':
		if class {
			return word
		}
		return "[" + word + "]"
	case 's':
		if class {
			return space
		}
		return "[" + space + "]"
	case 'Z':
		return `\z`
	case 'W':
		if !class {
			return "[^" + word + "]"
		}
	case 'S':
		if !class {
			return "[^" + space + "]"
		}
	}
	return ""
}

// absentGroup says which extension of Python's, after "(?", RE2 does not have.
func absentGroup(s string) string {
	switch {
	case strings.HasPrefix(s, "="), strings.HasPrefix(s, "!"):
		return "lookahead, (?=…) and (?!…), is not available"
	case strings.HasPrefix(s, "<="), strings.HasPrefix(s, "<!"):
		return "lookbehind, (?<=…) and (?<!…), is not available"
	case strings.HasPrefix(s, "P="):
		return "backreferences are not available"
	case strings.HasPrefix(s, "("):
		return "conditional groups are not available"
	case strings.HasPrefix(s, ">"):
		return "atomic groups are not available"
	case strings.HasPrefix(s, "#"):
		return "comments, (?#…), are not available"
	}
	return ""
}
