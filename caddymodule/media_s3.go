package caddymodule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/mediastore"
)

const mediaS3 = "s3"

// s3Value is one setting of `media s3`: its name there, authentik's, what is given and where it goes.
type s3Value struct {
	name, variable string
	given, into    *string
}

func (m *Media) s3Values(o *mediastore.S3Options) []s3Value {
	return []s3Value{
		{"endpoint", "ENDPOINT", &m.Endpoint, &o.Endpoint},
		{"region", "REGION", &m.Region, &o.Region},
		{"bucket", "BUCKET_NAME", &m.Bucket, &o.Bucket},
		{"access_key", "ACCESS_KEY", &m.AccessKey, (*string)(&o.AccessKey)},
		{"secret_key", "SECRET_KEY", &m.SecretKey, (*string)(&o.SecretKey)},
		{"session_token", "SESSION_TOKEN", &m.SessionToken, (*string)(&o.SessionToken)},
		{"session_token", "SECURITY_TOKEN", new(string), (*string)(&o.SessionToken)}, // its older name
		{"profile", "SESSION_PROFILE", &m.Profile, &o.Profile},
		{"custom_domain", "CUSTOM_DOMAIN", &m.CustomDomain, &o.CustomDomain},
		{"addressing", "ADDRESSING_STYLE", &m.Addressing, &o.Addressing},
		{"encryption", "", &m.Encryption, &o.Encryption},
	}
}

// checkS3 refuses what is wrong as it is written. What is left out, or stands for another value, may come
// from the environment.
func (m *Media) checkS3() error {
	o := mediastore.S3Options{Bucket: "bucket"}
	for _, v := range m.s3Values(&o) {
		if *v.given != "" && !isReference(*v.given) {
			*v.into = *v.given
		}
	}
	o.AccessKey, o.SecretKey, o.SessionToken = "", "", ""
	return s3Setting(o.Check(), nil)
}

// resolveS3 reads the settings. Keys go together: those of the environment are not taken beside one
// that the configuration has.
func (m *Media) resolveS3(env lookup) (o mediastore.S3Options, err error) {
	from := map[string]string{}
	ours := m.AccessKey != "" || m.SecretKey != "" || m.SessionToken != "" || m.Profile != ""
	for _, v := range m.s3Values(&o) {
		name, value := v.name, *v.given
		isKey := strings.HasSuffix(name, "_key") || name == "session_token" || name == "profile"
		if value == "" && v.variable != "" && (!ours || !isKey) {
			if variable, found := mediaValue(env, "S3__"+v.variable); found != "" {
				name, value = variable, found
				from[v.name] = "the environment's " + variable
			}
		}
		if value == "" {
			continue
		}
		if *v.into, err = reference(env, name, value); err != nil {
			return o, err
		}
	}
	if m.SecureURLs != nil {
		o.Plain = !*m.SecureURLs
	} else if o.Plain, err = s3Off(env, "S3__SECURE_URLS"); err != nil {
		return o, err
	}
	if o.Insecure, err = s3Off(env, "S3__USE_SSL"); err != nil {
		return o, err
	}
	return o, s3Setting(o.Check(), from)
}

// s3Off reports whether a variable that is on by default says no.
func s3Off(env lookup, name string) (bool, error) {
	variable, value := mediaValue(env, name)
	if value == "" {
		return false, nil
	}
	on, err := envBool(env, variable)
	return !on, err
}

// s3Setting names the setting that is wrong as whoever wrote it knows it.
func s3Setting(err error, from map[string]string) error {
	var wrong *core.FieldError
	if !errors.As(err, &wrong) {
		return err
	}
	if variable := from[wrong.Field]; variable != "" {
		return fmt.Errorf("%s %s", variable, wrong.Message)
	}
	return fmt.Errorf("media s3: %s %s", wrong.Field, wrong.Message)
}

// parseS3 reads the block of `media s3`:
//
//	media s3 {
//		endpoint      <scheme://host>
//		region        <region>
//		bucket        <name>
//		access_key    <key>
//		secret_key    <key>
//		session_token <token>
//		profile       <name>
//		custom_domain <host[/path]>
//		secure_urls   [true|false]
//		addressing    auto|path|virtual
//		encryption    AES256|aws:kms[:<key>]
//	}
func (m *Media) parseS3(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("media s3 takes a block and no value: media s3 { bucket %s }", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if name == "secure_urls" {
			text := "true"
			if args := d.RemainingArgs(); len(args) == 1 {
				text = args[0]
			} else if len(args) > 1 {
				return d.Errf("secure_urls takes one value, and %q is a second", args[1])
			}
			secure, err := strconv.ParseBool(text)
			if err != nil {
				return d.Errf("secure_urls %q is neither true nor false", text)
			}
			m.SecureURLs = &secure
			continue
		}
		known := false
		for _, v := range m.s3Values(new(mediastore.S3Options)) {
			if v.name == name && !known {
				known = true
				if err := once(d, v.given); err != nil {
					return err
				}
			}
		}
		if !known {
			return d.Errf("media s3 has no option %q: it has endpoint, region, bucket, access_key, secret_key, session_token, profile, custom_domain, secure_urls, addressing and encryption", name)
		}
		if err := m.checkS3(); err != nil { // here, for the line
			return d.WrapErr(err)
		}
	}
	return nil
}
