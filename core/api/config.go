package api

import (
	"slices"
	"strings"
)

// index lists what there is, for who looks around.
func (h *Handler) index(c *call) (reply, error) {
	var lines []string
	for _, r := range h.routes() {
		lines = append(lines, r.method+" "+Prefix+strings.ReplaceAll(r.pattern, "{}", "{id}"))
	}
	slices.SortFunc(lines, func(a, b string) int {
		_, x, _ := strings.Cut(a, " ")
		_, y, _ := strings.Cut(b, " ")
		return strings.Compare(x+" "+a, y+" "+b)
	})
	return ok(object{"product": "Postern", "operations": lines})
}

// rootConfig is the first call of every client, and the only one without a
// token.
func rootConfig(*call) (reply, error) {
	return ok(object{
		"error_reporting": object{
			"enabled": false, "sentry_dsn": "", "environment": "postern", "send_pii": false, "traces_sample_rate": 0,
		},
		"capabilities":             []string{},
		"cache_timeout":            300,
		"cache_timeout_flows":      300,
		"cache_timeout_policies":   300,
		"cache_timeout_reputation": 300,
	})
}

func version(c *call) (reply, error) {
	return ok(object{
		"version_current": c.Version, "version_latest": c.Version, "version_latest_valid": false,
		"build_hash": "", "outdated": false, "outpost_outdated": false,
	})
}
