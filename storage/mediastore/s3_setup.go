package mediastore

import (
	"context"
	"crypto/md5" //nolint:gosec // S3 asks for it, where it is not about secrets
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

// Setup makes the bucket where it is not there yet, private, and lets pages of the origins (scheme://host) read
// from it; then it puts, gets and deletes a file, and fetches it at the custom domain. tell is told
// what was done, and what does not work and may do without; the error is what does not work and has to, in
// words.
func (s *S3) Setup(ctx context.Context, origins []string, tell func(string)) error {
	err := s.do(ctx, &call{method: http.MethodGet, query: url.Values{"list-type": {"2"}, "max-keys": {"1"}}}, nothing)
	switch {
	case err == nil:
		tell("The bucket " + s.options.Bucket + " is there.")
	case code(err) == "NoSuchBucket":
		if err := s.create(ctx); err != nil {
			return s.explain("make the bucket", err)
		}
		tell("The bucket " + s.options.Bucket + " is made.")
	default:
		return s.explain("look into the bucket", err)
	}
	if len(origins) > 0 {
		if err := s.allow(ctx, origins); err != nil {
			tell("WARNING: the store takes no rule of CORS (" + s.explain("set it", err).Error() + "). Pictures are shown all the same; pages that read them by script are not let to.")
		} else {
			tell("Pages of " + strings.Join(origins, ", ") + " may read from it (CORS).")
		}
	}
	return s.roundTrip(ctx, tell)
}

// create makes the bucket, with an ACL that says it is private. A store that has no ACLs keeps it
// private by itself.
func (s *S3) create(ctx context.Context) error {
	c := &call{method: http.MethodPut, header: http.Header{"X-Amz-Acl": {"private"}}}
	if region := s.options.Region; region != "" && region != defaultRegion {
		c.body([]byte(`<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>` + region + `</LocationConstraint></CreateBucketConfiguration>`))
	}
	err := s.do(ctx, c, nothing)
	switch code(err) {
	case "AccessControlListNotSupported", "InvalidBucketAclWithObjectOwnership":
		c.header.Del("X-Amz-Acl")
		err = s.do(ctx, c, nothing)
	}
	if code(err) == "BucketAlreadyOwnedByYou" { // somebody else made it meanwhile, with our keys
		return nil
	}
	return err
}

// allow sets authentik's rule of CORS.
func (s *S3) allow(ctx context.Context, origins []string) error {
	type rule struct {
		AllowedOrigin []string
		AllowedMethod string
		AllowedHeader string
		MaxAgeSeconds int
	}
	text, err := xml.Marshal(struct {
		XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CORSConfiguration"`
		CORSRule rule
	}{CORSRule: rule{origins, http.MethodGet, "Authorization", 3000}})
	if err != nil {
		return err
	}
	sum := md5.Sum(text) //nolint:gosec // as above
	c := &call{method: http.MethodPut, query: url.Values{"cors": {""}}, header: http.Header{"Content-Md5": {base64.StdEncoding.EncodeToString(sum[:])}}}
	c.body(text)
	return s.do(ctx, c, nothing)
}

// roundTrip tries what the keys have to be allowed.
func (s *S3) roundTrip(ctx context.Context, tell func(string)) (err error) {
	content := core.RandomToken(24)
	key := rootFolder + "postern-setup-" + core.RandomAlphanumeric(24) // of no tenant
	put := &call{method: http.MethodPut, key: key, header: s.headers.Clone()}
	put.body([]byte(content))
	if err := s.do(ctx, put, nothing); err != nil {
		return s.explain("put a file", err)
	}
	defer func() {
		if gone := s.do(ctx, &call{method: http.MethodDelete, key: key}, nothing); gone != nil && err == nil {
			err = s.explain("delete a file", gone)
		}
	}()
	got := ""
	read := func(r *http.Response) error {
		b, err := io.ReadAll(io.LimitReader(r.Body, 1<<10))
		got = string(b)
		return err
	}
	if err := s.do(ctx, &call{method: http.MethodGet, key: key}, read); err != nil {
		return s.explain("get a file", err)
	}
	if got != content {
		return errors.New("get a file: it is not the one that was put")
	}
	tell("A file was put, read and is deleted again.")
	if s.public == nil {
		tell("No custom_domain is set: browsers get files from this server.")
		return nil
	}
	if err := s.browse(ctx, key, content); err != nil {
		tell(fmt.Sprintf("WARNING: a signed URL of %s%s does not work from here: %v. Whatever is between browsers and the store has to leave the Host, the path and the query as they are.", s.public.Host, s.public.Path, err))
	} else {
		tell("A signed URL of " + s.public.Host + s.public.Path + " works.")
	}
	return nil
}

// browse fetches a key as a browser does.
func (s *S3) browse(ctx context.Context, key, content string) error {
	keys, region := s.keys.known(), s.region.Load()
	if keys == nil || region == nil {
		return errNoKeys
	}
	ctx, cancel := context.WithTimeout(ctx, callWait)
	defer cancel()
	now := time.Now()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.presign(keys, *region, key, "attachment", now, now.Add(time.Minute)), nil)
	if err != nil {
		return err
	}
	answer, err := s.client(r)
	if err != nil {
		return withoutQuery(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return refusal(answer)
	}
	got, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if err == nil && string(got) != content {
		err = errors.New("it answers something else than the file")
	}
	return err
}

// body sets what is sent.
func (c *call) body(text []byte) {
	sum := sha256.Sum256(text)
	c.text, c.size, c.sum = string(text), int64(len(text)), hex.EncodeToString(sum[:])
}

// explain says in words what is wrong, and what would be right.
func (s *S3) explain(what string, err error) error {
	words := ""
	var refused *s3Error
	errors.As(err, &refused)
	switch code(err) {
	case "InvalidAccessKeyId":
		words = "the store does not know the access_key"
	case "SignatureDoesNotMatch":
		words = "the secret_key is not that of the access_key, or something between here and the store changes requests"
	case "InvalidToken", "ExpiredToken":
		words = "the session_token is not good, or not any more"
	case "AccessDenied", "AllAccessDisabled":
		words = "the keys are not allowed to: they need s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject in " + s.options.Bucket + ", and s3:CreateBucket and s3:PutBucketCORS for the set-up; or the bucket is somebody else's"
	case "BucketAlreadyExists":
		words = "the bucket is somebody else's: choose another name"
	case "RequestTimeTooSkewed":
		words = "the clock of this machine and that of the store are apart: set this one"
	case "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "TemporaryRedirect":
		words = "the bucket is in another region: set region"
		if refused.Region != "" {
			words += " to " + refused.Region
		}
	case "NotImplemented":
		words = "the store does not have that"
	case "":
		if refused == nil && !errors.Is(err, errNoKeys) {
			words = "no answer from " + s.endpoint.Host + ": is endpoint right, and is the store there?"
		}
	}
	if words == "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %s (%w)", what, words, err)
}
