package mediastore

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/postern-sso/postern/core"
)

const (
	// defaultRegion is where a bucket is looked for first; the store's answer names another one.
	defaultRegion = "us-east-1"
	// DefaultCache is how much of a bucket is kept on the disk, in bytes.
	DefaultCache = 256 << 20
)

// S3Options say where a bucket is and with whose keys it is used. Bucket and Cache are
// required.
type S3Options struct {
	// Endpoint is scheme://host[:port], with a path where the store needs one. "": that of AWS in the
	// region.
	Endpoint string
	// Region of the bucket. "": AWS_REGION, AWS_DEFAULT_REGION, or what the store says.
	Region string
	Bucket string
	// Insecure asks AWS by http. An Endpoint says so itself.
	Insecure bool
	// AccessKey and SecretKey go together; SessionToken goes with temporary ones. Without them the keys are
	// those of Profile in the files of the AWS CLI; else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; else
	// those of a role that a web identity, an ECS task or an EC2 instance has.
	AccessKey, SecretKey, SessionToken core.Secret
	Profile                            string
	// CustomDomain is host[/path] at which browsers reach the bucket. "": they do not, and this
	// server gives them the files.
	CustomDomain string
	// Plain has URLs of CustomDomain begin with http and not https.
	Plain bool
	// Addressing: "path" has the bucket in the path, "virtual" in the host; "auto" or "" is virtual at AWS.
	Addressing string
	// Encryption has the store encrypt what it keeps: AES256, aws:kms or aws:kms:<key>. "": as the bucket
	// says.
	Encryption string
	// Cache is the directory of files that were fetched, CacheSize its bound in bytes; 0: DefaultCache.
	Cache     string
	CacheSize int64
}

// Check returns a *core.FieldError that names the setting of the configuration and says what
// would be right.
func (o *S3Options) Check() error {
	refuse := func(field, format string, args ...any) error {
		return &core.FieldError{Field: field, Message: fmt.Sprintf(format, args...)}
	}
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return refuse("endpoint", "is not where a store is: write scheme and host, such as https://s3.provider")
		}
	}
	switch {
	case o.Bucket == "":
		return refuse("bucket", "is missing: write the bucket's name, such as authentik-media")
	case s3utils.CheckValidBucketNameStrict(o.Bucket) != nil:
		return refuse("bucket", "%q cannot be a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens", o.Bucket)
	case strings.ContainsFunc(o.Region, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' }):
		return refuse("region", "%q is not a region: write for example us-east-1", o.Region)
	case o.AccessKey == "" && o.SecretKey != "":
		return refuse("access_key", "is missing, and secret_key is there: set both or neither")
	case o.AccessKey != "" && o.SecretKey == "":
		return refuse("secret_key", "is missing, and access_key is there: set both or neither")
	case o.AccessKey == "" && o.SessionToken != "":
		return refuse("session_token", "goes with access_key and secret_key: set them, or leave it out")
	}
	switch o.Addressing {
	case "", "auto", "path", "virtual":
	default:
		return refuse("addressing", "%q is not known: write auto, path or virtual", o.Addressing)
	}
	if e := o.Encryption; e != "" && e != "AES256" && e != "aws:kms" && !strings.HasPrefix(e, "aws:kms:") {
		return refuse("encryption", "%q is not known: write AES256, aws:kms or aws:kms:<key>", e)
	}
	if o.CustomDomain != "" {
		if _, err := o.domain(); err != nil {
			return refuse("custom_domain", "is not where browsers find the bucket: write host and path without a scheme, such as s3.provider/%s or %s.s3.provider", o.Bucket, o.Bucket)
		}
	}
	return nil
}

// domain is the URL of the bucket for browsers, without a slash at the end. A default port is left out of it, as
// browsers leave it out of what they send.
func (o *S3Options) domain() (*url.URL, error) {
	scheme := "https"
	if o.Plain {
		scheme = "http"
	}
	u, err := url.Parse(scheme + "://" + strings.Trim(o.CustomDomain, "/"))
	if err != nil {
		return nil, err
	}
	name, port, err := core.NormalizeHost(u.Host)
	if err != nil {
		return nil, err
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Contains(o.CustomDomain, "//") || u.RawPath != "" {
		return nil, fmt.Errorf("it is more than host and path")
	}
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		port = ""
	}
	u.Host = core.JoinHost(name, port)
	return u, nil
}

// NewS3 makes a store of a bucket. It neither asks the store nor writes to the disk.
func NewS3(o S3Options) (*S3, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Region == "" {
		o.Region = os.Getenv("AWS_REGION")
	}
	if o.Region == "" {
		o.Region = os.Getenv("AWS_DEFAULT_REGION")
	}
	if o.CacheSize == 0 {
		o.CacheSize = DefaultCache
	}
	s := &S3{
		client: newClient().Do, keys: newAccessKeys(o), headers: http.Header{},
		state: breaker{places: make(chan struct{}, atOnce)},
		cache: &fileCache{dir: o.Cache, limit: o.CacheSize, files: map[string]*cachedFile{}, flights: map[string]*flight{}},
	}
	where := o.Endpoint
	if where == "" {
		where = "https://" + awsHost(o.Region)
		if o.Insecure {
			where = "http://" + awsHost(o.Region)
		}
	}
	var err error
	if s.endpoint, err = url.Parse(strings.TrimRight(where, "/")); err != nil {
		return nil, &core.FieldError{Field: "endpoint", Message: "is not a URL"}
	}
	s.virtual = o.Addressing == "virtual" || o.Addressing != "path" && virtualByDefault(s.endpoint, o.Bucket)
	if o.CustomDomain != "" {
		if s.public, err = o.domain(); err != nil {
			return nil, err
		}
	}
	if o.Region != "" {
		s.region.Store(&o.Region)
	}
	if kind, key, _ := strings.Cut(strings.Replace(o.Encryption, "aws:kms", "aws-kms", 1), ":"); kind != "" {
		s.headers.Set("X-Amz-Server-Side-Encryption", strings.Replace(kind, "aws-kms", "aws:kms", 1))
		if key != "" {
			s.headers.Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", key)
		}
	}
	s.options = o
	return s, nil
}

// awsHost is AWS in a region.
func awsHost(region string) string {
	switch {
	case region == "" || region == defaultRegion:
		return "s3.amazonaws.com"
	case strings.HasPrefix(region, "cn-"):
		return "s3." + region + ".amazonaws.com.cn"
	}
	return "s3." + region + ".amazonaws.com"
}

// virtualByDefault: AWS wants the bucket in the host. A dot in its name would not fit the certificate.
func virtualByDefault(endpoint *url.URL, bucket string) bool {
	host := endpoint.Hostname()
	if _, err := netip.ParseAddr(host); err == nil || net.ParseIP(host) != nil {
		return false
	}
	aws := strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
	return aws && !strings.Contains(bucket, ".")
}
