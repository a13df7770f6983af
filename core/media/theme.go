package media

import "strings"

// Light and Dark are the colour schemes of pages that a picture may have a variant for.
const Light, Dark = "light", "dark"

// themeVariable stands in what names a picture for the colour scheme.
const themeVariable = "%(theme)s"

// Themed is the variant of a picture for a colour scheme. One that names no scheme is the same for all, and then it
// has no variants.
func Themed(picture, scheme string) (variant string, has bool) {
	variant = strings.ReplaceAll(picture, themeVariable, scheme)
	return variant, variant != picture
}
