package redisdb

import (
	"fmt"
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	for text, want := range map[string]string{
		"redis://cache":                           `[cache:6379] db 0 "" ""`,
		"redis://cache:7000/3":                    `[cache:7000] db 3 "" ""`,
		"redis://:0123@cache":                     `[cache:6379] db 0 "" "0123"`,
		"redis://me:p%40ss%3A%2F%23@[::1]:6380/1": `[[::1]:6380] db 1 "me" "p@ss:/#"`,
		"redis://me:p@ss@10.0.0.1":                `[10.0.0.1:6379] db 0 "me" "p@ss"`,
		"redis://[fd00::1]":                       `[[fd00::1]:6379] db 0 "" ""`,
		"redis://cache?tls=true":                  `[cache:6379] db 0 "" "" tls`,
		"rediss://cache":                          `[cache:6379] db 0 "" "" tls`,
		"rediss://cache?tls_reqs=none":            `[cache:6379] db 0 "" "" tls unverified`,
		"rediss://cache?tls_ca_cert=/etc/ca.pem":  `[cache:6379] db 0 "" "" tls /etc/ca.pem`,
		"redis+sentinel://:pw@a,b:26380,c/main/2?sentinel_username=u&sentinel_password=spw": `[a:26379 b:26380 c:26379] db 2 "" "pw" master main "u" "spw"`,
		"rediss+sentinel://a/main":       `[a:26379] db 0 "" "" tls master main "" ""`,
		"redis+cluster://u:pw@a,b:6380/": `[a:6379 b:6380] db 0 "u" "pw" cluster`,
		"rediss+cluster://a":             `[a:6379] db 0 "" "" tls cluster`,
	} {
		a, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := fmt.Sprintf("%v db %d %q %q", a.Addrs, a.DB, a.Username, a.Password)
		if a.tls {
			got += " tls"
		}
		if a.unverified {
			got += " unverified"
		}
		if a.ca != "" {
			got += " " + a.ca
		}
		if a.MasterName != "" {
			got += fmt.Sprintf(" master %s %q %q", a.MasterName, a.SentinelUsername, a.SentinelPassword)
		}
		if a.IsClusterMode {
			got += " cluster"
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestURLRefused(t *testing.T) {
	for text, want := range map[string]string{
		"cache:6379":                                           "not a URL",
		"":                                                     "not a URL",
		"memcached://hunter2@cache":                            "scheme",
		"redis+other://hunter2@cache":                          "scheme",
		"redisssentinel://hunter2@cache":                       "scheme",
		"redis://":                                             "no host",
		"redis://:hunter2@":                                    "no host",
		"redis://:hunter2@cache:port":                          "port",
		"redis://:hunter2@cache:70000":                         "port",
		"redis://:hunter2@:6379":                               "host",
		"redis://hunter2@cache":                                "no password",
		"redis://:hunter2%@cache":                              "%25",
		"redis://:hunter2#@cache":                              "%23",
		"redis://:hunter2@a,b":                                 "more than one host",
		"redis://:hunter2@cache/sessions":                      "number of a database",
		"redis://:hunter2@cache/-1":                            "number of a database",
		"redis://:hunter2@cache?password=x":                    `"password"`,
		"redis://:hunter2@cache?tls=maybe":                     "tls",
		"redis://:hunter2@cache?tls=true&tls=x":                `"tls"`,
		"rediss://:hunter2@cache?tls=false":                    "tls=false",
		"redis://:hunter2@cache?tls_reqs=none":                 "no TLS",
		"rediss://:hunter2@cache?tls_reqs=no":                  "tls_reqs",
		"redis+sentinel://:hunter2@a,b":                        "name the master",
		"redis+sentinel://:hunter2@a/main/x":                   "number of a database",
		"redis+cluster://:hunter2@a,b/1":                       "no numbered databases",
		"redis+cluster://:hunter2@a?sentinel_password=hunter2": `"sentinel_password"`,
		"redis://:hunter2@cache?%zz":                           "parameters",
	} {
		err := CheckURL(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v, want one that says %q and not the password", text, err, want)
		}
	}
}

func FuzzURL(f *testing.F) {
	for _, seed := range []string{"redis://u:p@h:1/0?tls=true", "redis+sentinel://a,b:2/m/1?sentinel_password=x", "rediss+cluster://[::1]:7,b", "redis://@", "redis://a:b:c/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parse(text)
		if err == nil && (len(a.Addrs) == 0 || a.DB < 0) {
			t.Errorf("%q: %+v", text, a.Addrs)
		}
	})
}
