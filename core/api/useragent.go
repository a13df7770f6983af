package api

import "strings"

// named is a program that tells its name: mark stands before its version.
type named struct{ family, mark string }

// browsers and systems: the first that is named counts, as most name others beside themselves.
func browsers() []named {
	return []named{
		{"Edge", "Edg/"}, {"Edge", "EdgA/"}, {"Edge", "EdgiOS/"}, {"Opera", "OPR/"}, {"Samsung Internet", "SamsungBrowser/"},
		{"Firefox iOS", "FxiOS/"}, {"Firefox", "Firefox/"}, {"Chrome Mobile iOS", "CriOS/"}, {"Chrome", "Chrome/"}, {"Safari", "Version/"}, {"curl", "curl/"},
	}
}

func systems() []named {
	return []named{
		{"Windows", "Windows NT "}, {"iOS", "iPhone OS "}, {"iOS", "CPU OS "}, {"Android", "Android "}, {"Mac OS X", "Mac OS X "}, {"Chrome OS", "CrOS "}, {"Linux", "Linux"},
	}
}

// find is what a browser's header says by one of the lists, "Other" for what is not in it.
func find(list []named, header string) (family string, version [3]string) {
	for _, n := range list {
		_, rest, there := strings.Cut(header, n.mark)
		if !there {
			continue
		}
		end := strings.IndexFunc(rest, func(c rune) bool { return c != '.' && c != '_' && (c < '0' || c > '9') })
		if end >= 0 {
			rest = rest[:end]
		}
		copy(version[:], strings.FieldsFunc(rest, func(c rune) bool { return c == '.' || c == '_' }))
		return n.family, version
	}
	return "Other", version
}

// userAgent is a browser's header in parts, for people to know it by. It proves nothing.
func userAgent(header string) object {
	browser, v := find(browsers(), header)
	system, w := find(systems(), header)
	device := object{"brand": "", "family": "Other", "model": ""}
	for _, model := range []string{"iPhone", "iPad", "iPod"} {
		if strings.Contains(header, model) {
			device = object{"brand": "Apple", "family": model, "model": model}
			break
		}
	}
	return object{
		"device":     device,
		"os":         object{"family": system, "major": w[0], "minor": w[1], "patch": w[2], "patch_minor": ""},
		"user_agent": object{"family": browser, "major": v[0], "minor": v[1], "patch": v[2]},
		"string":     header,
	}
}

func userAgentShape() shape {
	return objectShape("AuthenticatedSessionUserAgent",
		always("device", objectShape("UserAgentDeviceDict", texts("brand", "family", "model")...)),
		always("os", objectShape("UserAgentOSDict", texts("family", "major", "minor", "patch", "patch_minor")...)),
		always("user_agent", objectShape("UserAgentBrowserDict", texts("family", "major", "minor", "patch")...)),
		always("string", textShape()))
}
