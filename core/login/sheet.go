package login

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/cache"
	"github.com/postern-sso/postern/core/media"
)

// The grounds of postern.css and dark.css that text stands on: that of the page, and that
// of cards.
var (
	lightGrounds = [2]core.Colour{{R: 0xf4, G: 0xf5, B: 0xf9}, core.White}                  //nolint:gochecknoglobals // constants, but for the language
	darkGrounds  = [2]core.Colour{{R: 0x0f, G: 0x12, B: 0x1b}, {R: 0x18, G: 0x1c, B: 0x28}} //nolint:gochecknoglobals // as above
)

const (
	// sheetName begins the file name of a brand's stylesheet.
	sheetName = "brand."
	// maxSheets is how many are in memory, over all tenants.
	maxSheets = 1000
)

// sheet is a brand's stylesheet, and the path that it has while it is so.
type sheet struct {
	of         *core.Brand  // a changed brand is another
	background template.URL // that of a file changes with its signature
	text, path string       // "": the brand has none
}

// sheetOf is the stylesheet of a brand, made once: a long one takes milliseconds to check,
// and anybody may ask for any page.
func (h *Handler) sheetOf(t *core.Tenant, b *core.Brand) *sheet {
	k := cache.Key{Tenant: t.ID, ID: string(b.ID)}
	background := h.picture(t, b.Background)
	if s, ok := h.sheets.Get(k); ok && s.of == b && s.background == background {
		return s
	}
	s := &sheet{of: b, background: background, text: brandSheet(b, background)}
	if s.text != "" {
		s.path = sheetPath(s.text)
	}
	h.sheets.Set(k, s)
	return s
}

// picture is an image of a brand or an application, "" for one that is brought along. That of a file
// is its signed URL.
func (h *Handler) picture(t *core.Tenant, s string) template.URL {
	return safeImage(h.Signer.Resolve(t, core.Picture(s)))
}

// variants are a picture as a brand's pages show it, and as they do in browsers that are set to dark: "" where that is
// the same.
func (h *Handler) variants(t *core.Tenant, b *core.Brand, s string) (shown, dark template.URL) {
	variant, has := media.Themed(s, media.Dark)
	switch theme := b.Theme(); {
	case has && theme == media.Dark:
		return h.picture(t, variant), ""
	case has && theme != media.Light:
		return h.picture(t, s), h.picture(t, variant)
	}
	return h.picture(t, s), ""
}

// brandSheet is the stylesheet of a brand: its colour, its background, and what it was given.
// It is a file of this origin and not within the page, so pages go on without inline style in
// their policy.
func brandSheet(b *core.Brand, background template.URL) string {
	var out strings.Builder
	if c, ok := core.ParseColour(b.Primary()); ok {
		theme := b.Theme()
		if theme != "dark" {
			out.WriteString(":root:not([data-theme=\"dark\"]) {" + primary(c, lightGrounds) + "}\n")
		}
		switch theme {
		case "dark":
			out.WriteString(":root[data-theme=\"dark\"] {" + primary(c, darkGrounds) + "}\n")
		case "automatic":
			out.WriteString("@media (prefers-color-scheme: dark) { :root:not([data-theme]) {" + primary(c, darkGrounds) + "} }\n")
		}
	}
	if image := string(background); image != "" {
		image = strings.NewReplacer(`"`, "%22", `\`, "%5C", "\n", "", "\r", "", "\f", "").Replace(image)
		out.WriteString(`body.narrow { background: url("` + image + `") center / cover fixed; }` + "\n")
	}
	if core.CheckCSS(b.CSS) == nil { // it was checked when it was saved, by the version of then
		out.WriteString(b.CSS)
	}
	return out.String()
}

// primary are the variables that a brand's colour sets. What it colours is read on all
// grounds: links and lines are darkened or lightened as far as that needs, and the text of
// buttons is black or white.
func primary(c core.Colour, grounds [2]core.Colour) string {
	legible := func(c core.Colour, least float64) core.Colour {
		for _, g := range grounds {
			c = c.Legible(g, least)
		}
		return c
	}
	link, ink := legible(c, 4.5), c.Ink()
	away := core.White // from the ground
	if grounds == lightGrounds {
		away = core.Black
	}
	hover := c.Mix(core.Black, 0.12)
	if ink == core.Black {
		hover = c.Mix(core.White, 0.12)
	}
	edge := legible(c, 3)
	return fmt.Sprintf(" --pico-primary: %s; --pico-primary-hover: %s; --pico-primary-underline: %s66; --pico-primary-background: %s; --pico-primary-border: %s;"+
		" --pico-primary-hover-background: %s; --pico-primary-hover-border: %[5]s; --pico-primary-inverse: %[7]s; --pico-primary-focus: %[5]s; ",
		link, link.Mix(away, 0.25), link, c, edge, hover, ink)
}

func sheetPath(text string) string {
	sum := sha256.Sum256([]byte(text))
	return pathStatic + sheetName + hex.EncodeToString(sum[:8]) + ".css"
}

// serveSheet serves the stylesheet of this host's brand, whatever hash it is asked by: the
// page is from before a change then, or from a node that has not heard of it.
func (h *Handler) serveSheet(w http.ResponseWriter, r *http.Request, name string) {
	info := core.Request(r.Context())
	sheet := h.sheetOf(info.Tenant, info.Look(r.Context()).Brand)
	if sheet.text == "" {
		h.notFound(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/css; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	header.Set("Cache-Control", "no-cache")
	if pathStatic+name == sheet.path {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	header.Set("Content-Length", strconv.Itoa(len(sheet.text)))
	_, _ = w.Write([]byte(sheet.text))
}
