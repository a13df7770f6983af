package core_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/postern-sso/postern/"

// The services that every package below core may import.
var services = []string{"core/cache", "core/session", "core/keys", "core/policy", "core/expression", "core/media"}

// rule says which of our own packages, and which of other people's, the files
// below a folder may import. The first rule whose folder fits counts.
type rule struct {
	folder string
	ours   []string // a package, or "folder/..." for all below it
	others []string // prefixes of import paths
	why    string
}

func rules() []rule {
	sub := append([]string{"core"}, services...)
	return []rule{
		{"core/cache", []string{"core"}, []string{"github.com/maypok86/otter/v2"}, "memory knows the nouns only"},
		{"core/session", []string{"core", "core/cache"}, nil, "a service knows the nouns only"},
		{"core/keys", []string{"core"}, []string{"github.com/go-jose/go-jose/v4"}, "a service knows the nouns only"},
		{"core/media", []string{"core", "core/keys", "core/cache"}, nil, "files and their URLs know the nouns and the keys, and neither protocols nor pages"},
		{"core/policy", []string{"core", "core/expression"}, nil, "policies are expressions over the nouns"},
		{"core/expression", []string{"core"}, []string{"go.starlark.net"}, "Starlark is known here and nowhere else"},
		{"core/oidc", sub, []string{"github.com/go-jose/go-jose/v4"}, "a protocol knows the services, and no other protocol"},
		{"core/login", sub, []string{"golang.org/x/crypto/argon2"}, "pages know the services, and no protocol"},
		{"core/api/apitest", nil, []string{"github.com/getkin/kin-openapi"}, "tests hold the API to its document, as somebody else reads it"},
		{"core/api", sub, nil, "the API knows the services, and no protocol"},
		{"core", nil, []string{"golang.org/x/text"}, "the nouns stand on the standard library; x/text folds names as Unicode says"},
		{"outpost", []string{"core/..."}, []string{"github.com/coreos/go-oidc/v3", "golang.org/x/oauth2"}, "the guard knows no storage and no Caddy"},
		{"storage/backup", []string{"core"}, []string{"golang.org/x/crypto/argon2"}, "a backup knows the nouns only; argon2 makes a passphrase a key"},
		{"storage", []string{"core/...", "storage/..."}, []string{"github.com/minio/minio-go/v7", "modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/pressly/goose/v3", "github.com/redis/go-redis/v9"}, "storage knows the nouns and its drivers"},
		{"caddymodule", []string{"core/...", "outpost", "storage/...", "caddymodule/..."}, []string{"github.com/caddyserver/caddy/v2", "github.com/caddyserver/certmagic", "go.uber.org/zap", "github.com/prometheus/client_golang", "github.com/spf13/cobra", "golang.org/x/term"}, "the only place that imports Caddy"},
	}
}

// forbidden explains why a file in the folder of file may not import imported;
// empty: it may.
func forbidden(file, imported string) string {
	folder := path.Dir(file)
	for _, r := range rules() {
		if folder != r.folder && !strings.HasPrefix(folder, r.folder+"/") {
			continue
		}
		if !strings.Contains(strings.Split(imported, "/")[0], ".") {
			return "" // the standard library
		}
		if ours, ok := strings.CutPrefix(imported, module); ok {
			if ours == folder || slices.ContainsFunc(r.ours, func(p string) bool {
				below, all := strings.CutSuffix(p, "/...")
				return ours == p || all && (ours == below || strings.HasPrefix(ours, below+"/"))
			}) {
				return ""
			}
			return r.why
		}
		if slices.ContainsFunc(r.others, func(p string) bool { return imported == p || strings.HasPrefix(imported, p+"/") }) {
			return ""
		}
		return r.why
	}
	return "no rule for this folder"
}

// guessable explains why a file may not import imported for the numbers it makes:
// what math/rand makes can be worked out from what it made before. The one exception
// draws the length of a pause.
func guessable(file, imported string) string {
	if imported != "math/rand" && imported != "math/rand/v2" || file == "storage/sqldb/tx.go" {
		return ""
	}
	return "keys, codes and IDs come from crypto/rand"
}

// TestImports holds the direction of imports. It parses files rather than ask
// the go command: the test cache notices files that this process reads, and would serve
// a stale answer for what a child process read.
func TestImports(t *testing.T) {
	root := os.DirFS("..")
	files := 0
	for _, top := range []string{"core", "outpost", "storage", "caddymodule"} {
		err := fs.WalkDir(root, top, func(name string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.Contains(name, "/testdata/") || strings.HasPrefix(name, "storage/storagetest/") || strings.HasPrefix(name, "storage/disktest/") {
				return nil
			}
			src, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
			if err != nil {
				return err
			}
			files++
			for _, spec := range f.Imports {
				imported, _ := strconv.Unquote(spec.Path.Value)
				if why := forbidden(name, imported) + guessable(name, imported); why != "" {
					t.Errorf("%s imports %s: %s", name, imported, why)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 30 {
		t.Errorf("only %d files were read: the walk has lost its way", files)
	}
}

// The rules refuse what they are there to refuse.
func TestImportRulesRefuse(t *testing.T) {
	for _, c := range []struct{ file, imported string }{
		{"core/user.go", module + "core/oidc"},
		{"core/user.go", "github.com/caddyserver/caddy/v2"},
		{"core/oidc/token.go", module + "core/login"},
		{"core/oidc/token.go", module + "storage/sqldb"},
		{"core/login/login.go", module + "core/oidc"},
		{"outpost/check.go", module + "storage/sqldb"},
		{"outpost/check.go", "github.com/caddyserver/caddy/v2/modules/caddyhttp"},
		{"storage/sqldb/open.go", module + "outpost"},
		{"core/api/users.go", "modernc.org/sqlite"},
		{"elsewhere/x.go", "fmt"},
	} {
		if forbidden(c.file, c.imported) == "" {
			t.Errorf("%s may import %s", c.file, c.imported)
		}
	}
	for _, imported := range []string{"math/rand", "math/rand/v2"} {
		if guessable("core/secret.go", imported) == "" {
			t.Errorf("core/secret.go may import %s", imported)
		}
	}
}
