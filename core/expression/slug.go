package expression

import (
	"strings"
	"unicode"

	"github.com/postern-sso/postern/core"
)

// base lists, for each letter, the ones that Unicode decomposes into it and marks.
// slugify and authentik's slugs fold these and drop every other character outside ASCII.
const base = "AÀÁÂÃÄÅĀĂĄǍǞǠǺȀȂȦḀẠẢẤẦẨẪẬẮẰẲẴẶ BḂḄḆ CÇĆĈĊČḈ DĎḊḌḎḐḒ EÈÉÊËĒĔĖĘĚȄȆȨḔḖḘḚḜẸẺẼẾỀỂỄỆ FḞ GĜĞĠĢǦǴḠ " +
	"HĤȞḢḤḦḨḪ IÌÍÎÏĨĪĬĮİǏȈȊḬḮỈỊ JĴ KĶǨḰḲḴ LĹĻĽḶḸḺḼ MḾṀṂ NÑŃŅŇǸṄṆṈṊ OÒÓÔÕÖŌŎŐƠǑǪǬȌȎȪȬȮȰṌṎṐṒỌỎỐỒỔỖỘỚỜỞỠỢ " +
	"PṔṖ RŔŖŘȐȒṘṚṜṞ SŚŜŞŠȘṠṢṤṦṨ TŢŤȚṪṬṮṰ UÙÚÛÜŨŪŬŮŰŲƯǓǕǗǙǛȔȖṲṴṶṸṺỤỦỨỪỬỮỰ VṼṾ WŴẀẂẄẆẈ XẊẌ YÝŶŸȲẎỲỴỶỸ ZŹŻŽẐẒẔ " +
	"aàáâãäåāăąǎǟǡǻȁȃȧḁạảấầẩẫậắằẳẵặ bḃḅḇ cçćĉċčḉ dďḋḍḏḑḓ eèéêëēĕėęěȅȇȩḕḗḙḛḝẹẻẽếềểễệ fḟ gĝğġģǧǵḡ " +
	"hĥȟḣḥḧḩḫẖ iìíîïĩīĭįǐȉȋḭḯỉị jĵǰ kķǩḱḳḵ lĺļľḷḹḻḽ mḿṁṃ nñńņňǹṅṇṉṋ oòóôõöōŏőơǒǫǭȍȏȫȭȯȱṍṏṑṓọỏốồổỗộớờởỡợ " +
	"pṕṗ rŕŗřȑȓṙṛṝṟ sśŝşšșṡṣṥṧṩ tţťțṫṭṯṱẗ uùúûüũūŭůűųưǔǖǘǚǜȕȗṳṵṷṹṻụủứừửữự vṽṿ wŵẁẃẅẇẉẘ xẋẍ yýÿŷȳẏỳỵỷỹẙ zźżžẑẓẕ"

// letters gives the base of a letter with marks.
type letters map[rune]byte

func newLetters() letters {
	out := letters{}
	for group := range strings.SplitSeq(base, " ") {
		for _, c := range group[1:] {
			out[c] = group[0]
		}
	}
	return out
}

// ascii is the ASCII that is left of a character decomposed by compatibility (NFKD).
func (l letters) ascii(c rune) string {
	if b, ok := l[c]; ok {
		return string(b)
	}
	if unicode.IsLetter(c) && c < 0x2000 {
		return "" // folding its case, as of ß to ss, would be no decomposition
	}
	return strings.Map(func(f rune) rune {
		if f >= 0x80 {
			return -1
		}
		return f
	}, core.Fold(string(c))) // full-width, ligatures, mathematical letters
}

// slugify is Django's: ASCII letters, digits, "_" and "-", in lower case.
func (r *run) slugify(s string) string {
	r.charge(4 * len(s))
	r.alloc(2 * len(s))
	var b strings.Builder
	put := func(c rune) {
		switch {
		case c >= 'A' && c <= 'Z':
			b.WriteRune(c - 'A' + 'a')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_':
			b.WriteRune(c)
		case c == '-', unicode.IsSpace(c):
			if !strings.HasSuffix(b.String(), "-") {
				b.WriteByte('-')
			}
		}
	}
	for _, c := range s {
		if c < 0x80 {
			put(c)
			continue
		}
		r.charge(100)
		r.alloc(64)
		for _, c := range r.letters.ascii(c) {
			put(c)
		}
	}
	return strings.Trim(b.String(), "-_")
}

// casefold is str.casefold: Unicode's full case folding.
func casefold(s string) string {
	var b strings.Builder
	for _, c := range s {
		if c < 0x80 {
			b.WriteRune(unicode.ToLower(c))
			continue
		}
		switch {
		case c == 'ß' || c == 'ẞ':
			b.WriteString("ss")
		case c == 'ı':
			b.WriteRune(c)
		case c == 'İ':
			b.WriteString("i̇")
		case c == 'ŉ':
			b.WriteString("ʼn")
		case c == 'ǰ':
			b.WriteString("ǰ")
		case c >= 'ﬀ' && c <= 'ﬆ':
			b.WriteString([]string{"ff", "fi", "fl", "ffi", "ffl", "st", "st"}[c-'ﬀ'])
		default:
			b.WriteRune(unicode.ToLower(unicode.ToUpper(c)))
		}
	}
	return b.String()
}
