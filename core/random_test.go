package core_test

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

// ids is how many of each kind are made: POSTERN_TEST_IDS, or as many as a build has time for.
func ids(t *testing.T) int {
	t.Helper()
	text := os.Getenv("POSTERN_TEST_IDS")
	if text == "" {
		return 20_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// poor tells what is wrong with n values of one kind: two that begin or end alike, or fewer than
// 128 bits that are as often set as not. It keeps 16 bytes of each.
func poor(n int, next func() [16]byte) string {
	heads, tails := make([]uint64, n), make([]uint64, n)
	var set [128]int
	for i := range n {
		v := next()
		heads[i], tails[i] = binary.BigEndian.Uint64(v[:8]), binary.BigEndian.Uint64(v[8:])
		for bit := range set {
			set[bit] += int(v[bit/8]>>(bit%8)) & 1
		}
	}
	for _, half := range [][]uint64{heads, tails} { // of a million, two have the same 64 bits once in forty million runs
		slices.Sort(half)
		for i := 1; i < n; i++ {
			if half[i] == half[i-1] {
				return "two of them are alike"
			}
		}
	}
	for bit, times := range set { // six standard deviations and more
		if off := 2*times - n; off*off > 49*n {
			return fmt.Sprintf("bit %d is set in %d of %d", bit, times, n)
		}
	}
	return ""
}

// what opens something is made of 128 random bits or more, and never comes twice.
func TestRandomIsRandom(t *testing.T) {
	n := ids(t)
	whole := func(make func() string) func() [16]byte { // as it is kept: by its hash
		return func() [16]byte {
			h := core.Hash(make())
			return [16]byte(h[:16])
		}
	}
	for name, next := range map[string]func() [16]byte{
		"RandomToken(16)":        whole(func() string { return core.RandomToken(16) }),
		"RandomToken(32)":        whole(func() string { return core.RandomToken(32) }),
		"RandomAlphanumeric(40)": whole(func() string { return core.RandomAlphanumeric(40) }),
		"crypto/rand":            func() (v [16]byte) { rand.Read(v[:]); return v },
	} {
		if wrong := poor(n, next); wrong != "" {
			t.Errorf("%s: %s", name, wrong)
		}
	}
	// Controls: a generator with too few states, a counter, and the time with some random bits.
	weak := mathrand.New(mathrand.NewPCG(1, 2))
	i := uint64(0)
	for name, next := range map[string]func() [16]byte{
		"of 24 bits": func() (v [16]byte) {
			h := core.Hash(strconv.Itoa(weak.IntN(1 << 24)))
			return [16]byte(h[:16])
		},
		"a counter": func() (v [16]byte) { i++; binary.BigEndian.PutUint64(v[8:], i); copy(v[:8], v[8:]); return v },
		"48 bits of the time": func() (v [16]byte) {
			rand.Read(v[6:])
			v[5] = byte(i)
			return v
		},
	} {
		if poor(20_000, next) == "" {
			t.Errorf("control: nothing is wrong with %s", name)
		}
	}
}

// short are the random values that may be, with the reason.
func short(file, call string) string {
	return map[string]string{
		"core/oidc/issue.go RandomToken(12)":             "a jti: beside it stands a grant's ID, and nothing is opened by it",
		"core/policy/refuse.go RandomAlphanumeric(12)":   "a decision's number, for people to read out: it opens nothing",
		"caddymodule/pool.go RandomAlphanumeric(8)":      "tells one run of the server from another",
		"caddymodule/apitoken.go RandomAlphanumeric(10)": "the name of a token, beside its key",
		"storage/redisdb/link.go RandomAlphanumeric(16)": "the name of a key that tests the connection",
	}[file+" "+call]
}

// every random value that the program makes, as it is written down, holds 128 bits: a new one too.
func TestRandomIsLong(t *testing.T) {
	found := 0
	for _, call := range randomCalls(t) {
		found++
		name, text, _ := strings.Cut(strings.TrimSuffix(call.text, ")"), "(")
		n, err := strconv.Atoi(text)
		if err != nil {
			continue // a constant: the control below knows them
		}
		bits := 8 * n
		if name == "RandomAlphanumeric" {
			bits = n * 595 / 100
		}
		if bits < 128 && short(call.file, call.text) == "" {
			t.Errorf("%s: %s is %d bits", call.file, call.text, bits)
		}
	}
	if found < 20 {
		t.Errorf("control: %d calls were found", found)
	}
}

type randomCall struct{ file, text string }

// randomCalls are all calls of RandomToken and RandomAlphanumeric outside of tests, with constants
// of their package worked out.
func randomCalls(t *testing.T) (out []randomCall) {
	root := os.DirFS("..")
	for _, top := range []string{"core", "outpost", "storage", "caddymodule"} {
		err := fs.WalkDir(root, top, func(name string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "storage/storagetest/") {
				return err
			}
			src, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) != 1 {
					return true
				}
				fn, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || fn.Sel.Name != "RandomToken" && fn.Sel.Name != "RandomAlphanumeric" {
					return true
				}
				arg := "?"
				switch a := call.Args[0].(type) {
				case *ast.BasicLit:
					arg = a.Value
				case *ast.Ident:
					arg = map[string]string{"keySize": "32", "tokenLength": "60", "rotatedKey": "60", "iconRandom": "22"}[a.Name]
					if arg == "" {
						t.Errorf("%s: how long is %s(%s)?", name, fn.Sel.Name, a.Name)
					}
				}
				out = append(out, randomCall{name, fn.Sel.Name + "(" + arg + ")"})
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}
