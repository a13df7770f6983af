package core_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

var launchTenant = &core.Tenant{UUID: "0190a0b0-0000-7000-8000-000000000001"}

func TestLaunchURL(t *testing.T) {
	alice := &core.User{ID: "0190a0b0-0000-7000-8000-00000000000a", PK: 7, UserName: "al/ice&x=y", DisplayName: "Älice Ü", Email: "a+b@corp.test"}
	for raw, want := range map[string]string{
		"https://app.test/":                               "https://app.test/",
		"http://app.test:8080/a?b=c#d":                    "http://app.test:8080/a?b=c#d",
		"/if/admin/":                                      "/if/admin/",
		"https://app.test/?u=%(username)s":                "https://app.test/?u=al%2Fice%26x%3Dy",
		"https://app.test/%(username)s/home":              "https://app.test/al%2Fice%26x%3Dy/home",
		"https://app.test/?n=%(name)s":                    "https://app.test/?n=%C3%84lice%20%C3%9C",
		"https://app.test/?m=%(email)s&p=%(pk)s&i=%(id)s": "https://app.test/?m=a%2Bb%40corp.test&p=7&i=7",
		"https://app.test/%(uuid)s":                       "https://app.test/0190a0b0-0000-7000-8000-00000000000a",
		"https://app.test/?u=%(uid)s":                     "https://app.test/?u=" + alice.HashedID(launchTenant.UUID),
		"https://app.test/?u=%(nope)s&p=%(pk)s":           "https://app.test/?u=%(nope)s&p=7",
		"https://app.test/%20?p=%(pk)s":                   "https://app.test/%20?p=7",
		"https://app.test/%%20?p=%(pk)s":                  "https://app.test/%20?p=7",
		"https://app.test/100%%?p=%(pk)s":                 "", // 100% cannot be written in a URL
		"https://app.test/?x=%(password)s":                "https://app.test/?x=%(password)s",
		// nothing that runs in our page, and no way to another host.
		"javascript:alert(1)": "", "JaVaScRiPt:alert(1)": "", " javascript:alert(1)": "", "java\nscript:alert(1)": "", "data:text/html,x": "",
		"vbscript:x": "", "file:///etc/passwd": "", "//evil.test/": "", `/\evil.test/`: "", "https:evil.test": "", "https://": "", "https://a b/": "",
		core.LaunchHidden: "", "app.test": "", "%(username)s": "", "//%(username)s": "",
		"https://%(username)s.app.test/":                "", // a name that is no host
		"https://app.test/" + strings.Repeat("x", 5000): "",
	} {
		if got := core.LaunchURL(&core.Application{LaunchURL: raw}, nil, launchTenant, alice); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
	// The same with a name that is harmless: the control of those that are refused.
	bob := &core.User{UserName: "bob"}
	if got := core.LaunchURL(&core.Application{LaunchURL: "https://%(username)s.app.test/"}, nil, launchTenant, bob); got != "https://bob.app.test/" {
		t.Error(got)
	}
	// Whatever a name is, it cannot make an address of its own.
	for _, name := range []string{"javascript:alert(1)", "//evil.test", "evil.test/", "@evil.test", "evil.test#", "evil.test?", "..", "a\nb", `\evil`} {
		u := &core.User{UserName: name}
		for _, raw := range []string{"%(username)s", "https://%(username)s", "https://%(username)s.app.test/", "https://app.test@%(username)s/", "https://app.test/%(username)s", "/%(username)s"} {
			to := core.LaunchURL(&core.Application{LaunchURL: raw}, nil, launchTenant, u)
			parsed, err := url.Parse(to)
			if to == "" || err == nil && parsed.Scheme == "" && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") {
				continue
			}
			if host := parsed.Hostname(); err != nil || parsed.Scheme != "https" || host != "app.test" && !strings.HasSuffix(host, ".app.test") && host != name {
				t.Errorf("%q in %q leads to %q", name, raw, to)
			}
		}
	}
}

func TestLaunchURLIsGuessed(t *testing.T) {
	strict := func(u string) core.RedirectURI { return core.RedirectURI{Mode: core.MatchStrict, URL: u} }
	regex := core.RedirectURI{Mode: core.MatchRegex, URL: `https://.*\.rp\.test/cb`}
	for want, p := range map[string]core.Provider{
		"https://rp.test:8443?x=1": &core.Client{RedirectURIs: []core.RedirectURI{strict("https://rp.test:8443/oauth/cb?x=1#f")}},
		"https://third.test":       &core.Client{RedirectURIs: []core.RedirectURI{regex, strict("com.example.app:/cb"), strict("javascript:x"), strict("https://third.test/cb")}},
		"https://proxied.test/a":   &core.ProxyProvider{ExternalHost: "https://proxied.test/a"},
	} {
		if got := core.LaunchURL(&core.Application{}, p, launchTenant, &core.User{}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, p := range []core.Provider{nil, &core.Client{}, &core.Client{RedirectURIs: []core.RedirectURI{regex}}, &core.ProxyProvider{ExternalHost: "javascript:x"}} {
		if got := core.LaunchURL(&core.Application{}, p, launchTenant, &core.User{}); got != "" {
			t.Errorf("%+v: %q", p, got)
		}
	}
}

func TestLaunchable(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, core.LaunchHidden: true, "https://app.test/%(username)s": true, "http://%(username)s.app.test": true, "https://app.test/?u=%(nope)s": true,
		"javascript:alert(1)": false, "blank://other": false, "/if/admin/": false, "//evil.test": false, "%(username)s": false, "https://": false,
		"https://a.test/a b": false, `https:\\evil.test`: false, "ftp://a.test": false, "a.test": false,
	} {
		if core.Launchable(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}

// FuzzLaunchURL: whatever is configured and whatever a user is called, a link leads to
// the web or to this host.
func FuzzLaunchURL(f *testing.F) {
	f.Add("https://app.test/%(username)s", "alice")
	f.Add("%(username)s", "javascript:alert(1)")
	f.Add("/%(name)s", "/evil.test")
	f.Add("https://%(username)s", "evil.test/")
	f.Add("/%(name)s\"", "/") // was //%22
	f.Fuzz(func(t *testing.T, raw, name string) {
		to := core.LaunchURL(&core.Application{LaunchURL: raw}, nil, launchTenant, &core.User{UserName: name, DisplayName: name, Email: name})
		if to == "" {
			return
		}
		u, err := url.Parse(to)
		web := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
		own := strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") && !strings.HasPrefix(to, `/\`)
		if !web && !own {
			t.Errorf("%q for %q leads to %q", raw, name, to)
		}
	})
}
