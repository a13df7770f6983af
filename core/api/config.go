package api

// rootConfig is the first call of every client, and the only one without a
// token.
func rootConfig(c *call) (reply, error) {
	capabilities := []string{}
	if c.Files != nil {
		capabilities = append(capabilities, "can_save_media")
	}
	return ok(object{
		"error_reporting": object{
			"enabled": false, "sentry_dsn": "", "environment": "postern", "send_pii": false, "traces_sample_rate": 0,
		},
		"capabilities":             capabilities,
		"cache_timeout":            300,
		"cache_timeout_flows":      300,
		"cache_timeout_policies":   300,
		"cache_timeout_reputation": 300,
	})
}

func configShape() shape {
	reporting := objectShape("ErrorReportingConfig", always("enabled", booleanShape()), always("sentry_dsn", textShape()),
		always("environment", textShape()), always("send_pii", booleanShape()), always("traces_sample_rate", numberShape()))
	s := objectShape("Config", always("error_reporting", reporting), always("capabilities", listShape(textShape())))
	for _, name := range []string{"cache_timeout", "cache_timeout_flows", "cache_timeout_policies", "cache_timeout_reputation"} {
		s.members = append(s.members, always(name, integerShape()))
	}
	return s
}

func versionShape() shape {
	s := objectShape("Version", texts("version_current", "version_latest", "build_hash")...)
	for _, name := range []string{"version_latest_valid", "outdated", "outpost_outdated"} {
		s.members = append(s.members, always(name, booleanShape()))
	}
	return s
}

func version(c *call) (reply, error) {
	return ok(object{
		"version_current": c.Version, "version_latest": c.Version, "version_latest_valid": false,
		"build_hash": "", "outdated": false, "outpost_outdated": false,
	})
}
