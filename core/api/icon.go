package api

import "strings"

// iconURL is where an icon is fetched: null for none, and for a media file, whose
// address only the media server knows.
func iconURL(icon string) any {
	if isWebURL(icon) || strings.HasPrefix(icon, "fa://") || strings.HasPrefix(icon, "/") {
		return icon
	}
	return nil
}
