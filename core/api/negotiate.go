package api

import (
	"mime"
	"strconv"
	"strings"
)

// preferred is what an Accept header (RFC 9110 §12.5.1) likes best of what is on
// offer: the first, where it likes others as much, or none.
func preferred(accept []string, offers ...string) string {
	best, most := offers[0], 0.0
	for _, offer := range offers {
		if q := quality(accept, offer); q > most {
			best, most = offer, q
		}
	}
	return best
}

// quality is how much a media type is liked, from 0 to 1. The most specific range
// that it fits decides.
func quality(accept []string, offer string) float64 {
	group, _, _ := strings.Cut(offer, "/")
	q, fit := 0.0, 0
	for entry := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(entry)
		if err != nil {
			continue
		}
		weight := 1.0
		if s, ok := params["q"]; ok {
			if weight, err = strconv.ParseFloat(s, 64); err != nil {
				continue
			}
		}
		exact := map[string]int{offer: 3, group + "/*": 2, "*/*": 1}[media]
		if exact > fit {
			q, fit = weight, exact
		}
	}
	return q
}

// noneMatch reports whether an If-None-Match header (RFC 9110 §13.1.2) names the
// tag, so that what the client has is still right.
func noneMatch(header []string, tag string) bool {
	for entry := range strings.SplitSeq(strings.Join(header, ","), ",") {
		entry = strings.TrimPrefix(strings.TrimSpace(entry), "W/")
		if entry == tag || entry == "*" {
			return true
		}
	}
	return false
}
