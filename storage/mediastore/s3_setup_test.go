package mediastore_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/postern-sso/postern/storage/mediastore"
	"github.com/postern-sso/postern/storage/storagetest"
)

// MinIO has no CORS of buckets, which is a warning; all else is done, and what is wrong is said in
// words without the secret.
func TestSetup(t *testing.T) {
	m := storagetest.StartMinIO(t, "MINIO_REGION=eu-central-7")
	setup := func(change func(*mediastore.S3Options)) (string, error) {
		s := s3Of(t, m, func(o *mediastore.S3Options) {
			o.Bucket, o.Region, o.CustomDomain, o.Plain = "authentik-media", "eu-central-7", m.Addr+"/authentik-media", true
			if change != nil {
				change(o)
			}
		})
		said := ""
		err := s.Setup(t.Context(), []string{"https://authentik.company"}, func(line string) { said += line + "\n" })
		return said, err
	}
	for _, made := range []string{"is made", "is there"} {
		said, err := setup(nil)
		for _, want := range []string{made, "WARNING: the store takes no rule of CORS (set it: the store does not have that", "A file was put, read and is deleted again", "A signed URL of " + m.Addr + "/authentik-media works"} {
			if !strings.Contains(said, want) || err != nil {
				t.Errorf("no %q in %s, %v", want, said, err)
			}
		}
	}
	for o := range m.Client().ListObjects(t.Context(), "authentik-media", minio.ListObjectsOptions{Recursive: true}) {
		t.Errorf("it left %s, %v", o.Key, o.Err)
	}
	if said, err := setup(func(o *mediastore.S3Options) { o.CustomDomain = m.Addr + "/another" }); err != nil || !strings.Contains(said, "WARNING: a signed URL of "+m.Addr+"/another does not work from here") {
		t.Errorf("another domain: %s, %v", said, err)
	}
	for want, change := range map[string]func(*mediastore.S3Options){
		"does not know the access_key":  func(o *mediastore.S3Options) { o.AccessKey = "nobody" },
		"is not that of the access_key": func(o *mediastore.S3Options) { o.SecretKey = "wrong-wrong" },
		"set region to eu-central-7":    func(o *mediastore.S3Options) { o.Region = "us-west-1" },
		"no answer from 127.0.0.1:1":    func(o *mediastore.S3Options) { o.Endpoint = "http://127.0.0.1:1" },
	} {
		if said, err := setup(change); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error()+said, storagetest.MinIOPassword) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

// What a store of the newer kind asks for: no ACL where it has none, after it was asked for a private one; the region where
// it is not the first; authentik's rule of CORS with its checksum; and of each file how it is to be encrypted.
func TestSetupRequests(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	objects := map[string]string{}
	exists := false
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		bucket := r.URL.Path == "/authentik-media/"
		asked = append(asked, fmt.Sprintf("%s %s acl=%s %s", r.Method, r.URL.RawQuery, r.Header.Get("X-Amz-Acl"), b))
		sealed := r.Header.Get("X-Amz-Server-Side-Encryption") + " " + r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")
		if !bucket && r.Method == http.MethodPut && (sealed != "aws:kms k" || !strings.Contains(r.Header.Get("Authorization"), ";x-amz-server-side-encryption;x-amz-server-side-encryption-aws-kms-key-id")) {
			t.Errorf("a file is put with encryption %q, %s", sealed, r.Header.Get("Authorization"))
		}
		refuse := func(status int, code string) {
			w.WriteHeader(status)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
		}
		switch {
		case bucket && r.Method == http.MethodGet && !exists:
			refuse(http.StatusNotFound, "NoSuchBucket")
		case bucket && r.Method == http.MethodPut && r.URL.Query().Has("cors"):
			if r.Header.Get("Content-Md5") == "" {
				refuse(http.StatusBadRequest, "InvalidRequest")
			}
		case bucket && r.Method == http.MethodPut && r.Header.Get("X-Amz-Acl") != "":
			refuse(http.StatusBadRequest, "AccessControlListNotSupported")
		case bucket && r.Method == http.MethodPut:
			exists = true
		case r.Method == http.MethodPut:
			objects[r.URL.Path] = string(b)
		case r.Method == http.MethodGet:
			_, _ = io.WriteString(w, objects[r.URL.Path])
		case r.Method == http.MethodDelete:
			delete(objects, r.URL.Path)
			w.WriteHeader(http.StatusNoContent)
		}
	})
	s, err := mediastore.NewS3(mediastore.S3Options{Endpoint: at, Bucket: "authentik-media", Region: "eu-west-1", AccessKey: "a", SecretKey: "b", Encryption: "aws:kms:k", Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	if err := s.Setup(t.Context(), []string{"https://a.test", "https://b.test"}, func(line string) { said += line + "\n" }); err != nil || strings.Contains(said, "WARNING") || len(objects) != 0 || !exists {
		t.Errorf("%v: %s", err, said)
	}
	all := strings.Join(asked, "\n")
	for _, want := range []string{
		"PUT  acl=private <CreateBucketConfiguration ",
		"PUT  acl= <CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>eu-west-1</LocationConstraint>",
		"PUT cors= acl= <CORSConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><CORSRule><AllowedOrigin>https://a.test</AllowedOrigin><AllowedOrigin>https://b.test</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedHeader>Authorization</AllowedHeader><MaxAgeSeconds>3000</MaxAgeSeconds></CORSRule></CORSConfiguration>",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in\n%s", want, all)
		}
	}
}
