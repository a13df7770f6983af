package caddymodule

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/redisdb"
)

// checkSessions refuses what is wrong with `sessions`, as far as it is written out.
func checkSessions(value string) error {
	if value == "" || isWhole(value) {
		return nil
	}
	// What stands for another value may be anything: something harmless takes its place.
	if err := redisdb.CheckURL(placeholder.ReplaceAllString(value, "1")); err != nil {
		return fmt.Errorf("sessions %s: %w; or leave `sessions` out, and sessions are kept beside the database alone", kind(value), err)
	}
	return nil
}

// resolveSessions is the URL of the Redis that the configuration names, else the environment; empty:
// there is none.
func (a *App) resolveSessions(env lookup) (core.Secret, error) {
	value := a.Sessions
	var err error
	switch {
	case value == "":
		value, err = redisOf(env)
	case isWhole(value):
		if value, err = reference(env, "sessions", value); err == nil && value != "" {
			err = redisdb.CheckURL(value)
		}
	default:
		value, err = fillEscaped("sessions", value)
		if err == nil {
			err = redisdb.CheckURL(value)
		}
	}
	if err != nil && a.Sessions != "" {
		return "", fmt.Errorf("sessions: %w", err)
	}
	return core.Secret(value), err
}

// fillEscaped puts what the placeholders in a URL stand for in their places, escaped, so that a password
// may hold any character.
func fillEscaped(name, value string) (string, error) {
	var failed error
	filled := placeholder.ReplaceAllStringFunc(value, func(ref string) string {
		v, err := caddy.NewReplacer().ReplaceOrErr(ref, true, true)
		if err != nil && failed == nil {
			failed = fmt.Errorf("%w (is the variable set?)", err)
		}
		return escape(v)
	})
	if failed != nil {
		return "", fmt.Errorf("%s: %w", name, failed)
	}
	return filled, nil
}

func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// What authentik, up to 2025.8, calls the parts of Redis's address.
const redisVariable = "AUTHENTIK_REDIS__"

// redisOf makes the URL that authentik's variables describe; empty: they describe none. Where they
// describe half of one that is an error: it was meant to be used.
func redisOf(env lookup) (string, error) {
	value := map[string]string{}
	for _, name := range []string{"HOST", "PORT", "DB", "USERNAME", "PASSWORD", "TLS_REQS", "TLS_CA_CERT"} {
		v, err := reference(env, redisVariable+name, envValue(env, redisVariable+name))
		if err != nil {
			return "", err
		}
		value[name] = v
	}
	tls, err := envBool(env, redisVariable+"TLS")
	if err != nil {
		return "", err
	}
	if value["HOST"] == "" {
		for _, name := range []string{"PORT", "DB", "USERNAME", "PASSWORD", "TLS_REQS", "TLS_CA_CERT"} {
			if value[name] != "" {
				return "", fmt.Errorf("the environment's %s%s is set and %[1]sHOST is not: set HOST to the host of Redis, or unset the other to keep sessions beside the database alone", redisVariable, name)
			}
		}
		return "", nil
	}
	text := "redis://"
	if tls {
		text = "rediss://"
	}
	if value["USERNAME"] != "" || value["PASSWORD"] != "" {
		text += escape(value["USERNAME"]) + ":" + escape(value["PASSWORD"]) + "@"
	}
	host := value["HOST"]
	if strings.Count(host, ":") > 1 && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	text += host
	if value["PORT"] != "" {
		text += ":" + value["PORT"]
	}
	if value["DB"] != "" {
		text += "/" + escape(value["DB"])
	}
	if tls { // authentik has defaults for the others that mean nothing without
		q := url.Values{}
		if value["TLS_REQS"] != "" {
			q.Set("tls_reqs", strings.ToLower(value["TLS_REQS"]))
		}
		if value["TLS_CA_CERT"] != "" {
			q.Set("tls_ca_cert", value["TLS_CA_CERT"])
		}
		if len(q) > 0 {
			text += "?" + q.Encode()
		}
	}
	if err := redisdb.CheckURL(text); err != nil {
		return "", fmt.Errorf("the environment's %s…: %w", redisVariable, err)
	}
	return text, nil
}
