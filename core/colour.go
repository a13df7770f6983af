package core

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
)

// Colour is one of sRGB.
type Colour struct{ R, G, B uint8 }

// The two colours at the ends.
var (
	Black = Colour{}              //nolint:gochecknoglobals // a constant, but for the language
	White = Colour{255, 255, 255} //nolint:gochecknoglobals // as above
)

var hexColour = regexp.MustCompile(`^#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})$`)

// ParseColour reads #rgb or #rrggbb.
func ParseColour(s string) (Colour, bool) {
	if !hexColour.MatchString(s) {
		return Colour{}, false
	}
	if len(s) == 4 {
		s = string([]byte{'#', s[1], s[1], s[2], s[2], s[3], s[3]})
	}
	n, err := strconv.ParseUint(s[1:], 16, 32)
	return Colour{uint8(n >> 16), uint8(n >> 8), uint8(n)}, err == nil //nolint:gosec // the three bytes
}

func (c Colour) String() string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// luminance is WCAG 2.2's relative luminance, 0 to 1.
func (c Colour) luminance() float64 {
	linear := func(v uint8) float64 {
		f := float64(v) / 255
		if f <= 0.04045 {
			return f / 12.92
		}
		return math.Pow((f+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

// Contrast is WCAG 2.2's ratio of two colours, 1 to 21.
func (c Colour) Contrast(d Colour) float64 {
	a, b := c.luminance(), d.luminance()
	return (max(a, b) + 0.05) / (min(a, b) + 0.05)
}

// Mix is c with a part of d, 0 to 1.
func (c Colour) Mix(d Colour, part float64) Colour {
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a)*(1-part) + float64(b)*part)) }
	return Colour{mix(c.R, d.R), mix(c.G, d.G), mix(c.B, d.B)}
}

// Legible is c, or what of it comes nearest and can be read on a ground: at the ratio
// least at the least, by going towards a colour of which that can be said.
func (c Colour) Legible(ground Colour, least float64) Colour {
	towards := Black
	if White.Contrast(ground) > Black.Contrast(ground) {
		towards = White
	}
	for part := 0.0; part < 1; part += 0.02 {
		if d := c.Mix(towards, part); d.Contrast(ground) >= least {
			return d
		}
	}
	return towards
}

// Ink is black or white, whichever is read better on c: at a ratio of 4.5 and more.
func (c Colour) Ink() Colour {
	if White.Contrast(c) >= 4.5 || White.Contrast(c) > Black.Contrast(c) {
		return White
	}
	return Black
}
