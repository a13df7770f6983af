package mediastore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

// Presign is a URL of CustomDomain that the store takes for a GET, as it is signed for that host and path: AWS
// Signature Version 4 in the query. Without CustomDomain it is "", and so it is where the keys of a role or
// the region are not known yet; then it sees to it that they will be.
func (s *S3) Presign(t core.TenantID, name string, o media.Options, from, until time.Time) string {
	key, err := s.key(t, name)
	if s.public == nil || err != nil {
		return ""
	}
	keys, region := s.keys.known(), s.region.Load()
	if keys == nil || region == nil {
		if s.asking.CompareAndSwap(false, true) {
			go func() {
				defer s.asking.Store(false)
				ctx, cancel := context.WithTimeout(context.Background(), callWait)
				defer cancel()
				_ = s.do(ctx, &call{method: http.MethodGet, query: url.Values{"list-type": {"2"}, "max-keys": {"1"}}}, nothing) // who uses the store is told
			}()
		}
		return ""
	}
	// Our clock may be ahead of everybody else's, as it does not go back, and nothing may begin in the
	// future. By whole thirds, so that the URL stays the same for a while.
	if ahead := time.Until(from); ahead > 0 {
		third := until.Sub(from) / 3
		back := ahead.Truncate(third) + third
		from, until = from.Add(-back), until.Add(-back)
	}
	// Nothing is to be shown as a page of the store's host: who looks at pictures does not notice.
	show := "attachment"
	if o.Download {
		show = `attachment; filename="` + path.Base(name) + `"`
	}
	return s.presign(keys, *region, key, show, from, until)
}

// presign signs a GET of a key at the host of CustomDomain.
func (s *S3) presign(keys *credentials.Value, region, key, show string, from, until time.Time) string {
	from = from.UTC()
	credential := signer.GetCredential(keys.AccessKeyID, region, from, signer.ServiceTypeS3)
	date := from.Format("20060102T150405Z")
	var query strings.Builder // in the order of the names
	query.WriteString("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + url.QueryEscape(credential) + "&X-Amz-Date=" + date + "&X-Amz-Expires=" + strconv.Itoa(int(until.Sub(from)/time.Second)))
	if keys.SessionToken != "" {
		query.WriteString("&X-Amz-Security-Token=" + url.QueryEscape(keys.SessionToken))
	}
	query.WriteString("&X-Amz-SignedHeaders=host&response-content-disposition=" + strings.ReplaceAll(url.QueryEscape(show), "+", "%20"))
	where := s3utils.EncodePath(s.public.Path + "/" + key)
	canonical := sha256.Sum256([]byte("GET\n" + where + "\n" + query.String() + "\nhost:" + s.public.Host + "\n\nhost\nUNSIGNED-PAYLOAD"))
	_, scope, _ := strings.Cut(credential, "/")
	// What signs a policy of a form signs any text: with the key of a day, a region and S3.
	signature := signer.PostPresignSignatureV4("AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hex.EncodeToString(canonical[:]), from, keys.SecretAccessKey, region)
	return s.public.Scheme + "://" + s.public.Host + where + "?" + query.String() + "&X-Amz-Signature=" + signature
}
