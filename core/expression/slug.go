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
	if c == 'ß' || c == 'ẞ' {
		return "" // to ss they fold, and do not decompose
	}
	return strings.Map(func(f rune) rune {
		if b, ok := l[f]; ok {
			return rune(b)
		}
		if f >= 0x80 {
			return -1
		}
		return f
	}, core.Fold(string(c))) // full-width, ligatures, mathematical letters, digraphs
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
		r.charge(600)
		r.alloc(256)
		for _, c := range r.letters.ascii(c) {
			put(c)
		}
	}
	return strings.Trim(b.String(), "-_")
}

// casefold is str.casefold: Unicode's full case folding, up to canonical equivalence.
// It calls fold before each letter that takes long.
func casefold(s string, fold func()) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c < 0x80:
			b.WriteRune(unicode.ToLower(c))
		case c == 'ı':
			b.WriteRune(c) // dotless: its upper case is that of i
		case c == 'İ':
			b.WriteString("i\u0307")
		case foldsToSeveral(c):
			fold()
			b.WriteString(core.Fold(string(c)))
		case c >= 0x13A0 && c <= 0x13F5 || c >= 0x13F8 && c <= 0x13FD || c >= 0xAB70 && c <= 0xABBF:
			b.WriteRune(unicode.ToUpper(c)) // Cherokee folds upwards
		default:
			b.WriteRune(unicode.ToLower(unicode.ToUpper(c)))
		}
	}
	return b.String()
}

// foldsToSeveral covers the letters whose case folds to more than one.
func foldsToSeveral(c rune) bool {
	switch c {
	case 'ß', 'ẞ', 'ŉ', 'ǰ', 'ΐ', 'ΰ', 'և':
		return true
	}
	return (c >= 0x1E96 && c <= 0x1E9B || c >= 0x1F50 && c <= 0x1FFC || c >= 0xFB00 && c <= 0xFB17) && unicode.IsLetter(c)
}
