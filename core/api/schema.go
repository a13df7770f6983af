package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
)

// The media types of OpenAPI documents.
const (
	openAPIYAML = "application/vnd.oai.openapi"
	openAPIJSON = "application/vnd.oai.openapi+json"
)

// published is the document of the API in both forms. It is made once, when it is
// first asked for, and is the same for everybody.
type published struct {
	once       sync.Once
	document   *document
	json, yaml []byte
	calls      []*callView
	tag        string // names the content: the inside of an ETag
}

func (h *Handler) published() *published {
	p := &h.schema
	p.once.Do(func() {
		p.document = describe(h.table, h.Version)
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		if err := e.Encode(p.document); err != nil {
			panic(fmt.Sprintf("api: encode the document: %v", err)) // it is made of plain values
		}
		p.calls = callViews(p.document)
		p.json, p.yaml = out.Bytes(), yaml(out.Bytes())
		sum := sha256.Sum256(p.json)
		p.tag = hex.EncodeToString(sum[:12])
	})
	return p
}

// showSchema answers with the document: YAML, or JSON where the query or the Accept
// header ask for it.
func showSchema(c *call) (reply, error) {
	p, out := c.published(), reply{status: http.StatusOK}
	inJSON := c.param("format") == "json"
	if c.param("format") == "" {
		inJSON = preferred(c.r.Header.Values("Accept"), openAPIYAML, openAPIJSON, jsonType) != openAPIYAML
	}
	tag := `"` + p.tag + `-yaml"`
	out.raw, out.media = p.yaml, openAPIYAML
	if inJSON {
		tag = `"` + p.tag + `-json"`
		out.raw, out.media = p.json, openAPIJSON
	}
	out.header = map[string]string{"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept, Authorization, Cookie"}
	if noneMatch(c.r.Header.Values("If-None-Match"), tag) {
		out.status, out.raw, out.media = http.StatusNotModified, nil, ""
	}
	return out, nil
}
