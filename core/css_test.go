package core_test

import (
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

// a stylesheet that loads from elsewhere is refused, however it is written.
func TestCheckCSS(t *testing.T) {
	for _, css := range []string{
		"", ":root { --pico-primary: #0f766e }", "a::after { content: \"\\2192\" }", "/* a comment */ .card { border-radius: 0 }\n",
		`body { background: url(/media/b.png) }`, `body { background: url( "/b.png" ) }`, `a { background: url('data:image/png;base64,AA==') }`,
		`@media (max-width: 30rem) { .card { padding: 0 } }`,
	} {
		if err := core.CheckCSS(css); err != nil {
			t.Errorf("%s: %v", css, err)
		}
	}
	for _, css := range []string{
		`@import "https://evil.test/x.css";`, `@IMPORT url(x.css);`, `@\69mport "x";`, `@im\port "x";`,
		`input[value^="a"] { background: url(https://evil.test/a) }`, `a { background: URL("//evil.test/a") }`, `a { background: u\72l(//evil.test) }`,
		`a { background: url(\2f\2f evil.test) }`, "a { background: url(\"/\\\n/evil.test\") }", "a { background: url(/\t/evil.test) }", `a { background: url(/\5c evil.test) }`,
		`a { background: url(b.png) }`, `a { background: url(javascript:1) }`, `a { background: url(data:text/html,x) }`, `a { background: url("/a" }`[:20] + `https://evil.test/"`,
		`a { background: image-set("https://evil.test/a" 1x) }`, `a { background: -webkit-image-set(url(/a) 1x) }`, `a { background: image("https://evil.test") }`,
		`a { background: src("https://evil.test") }`, `a { background: cross-fade("https://evil.test", red) }`,
		"a { background: u\\72\r\nl(https://evil.test/x) }", "@\\69\r\nmport 'https://evil.test'", "a { background: image-\\73\r\net('https://evil.test' 1x) }",
		"a { background: u\\72\fl(https://evil.test/x) }", "a { background: u\\72\rl(https://evil.test/x) }",
		`@font-face { font-family: x; src: url(https://evil.test/x.woff) }`,
	} {
		if core.CheckCSS(css) == nil {
			t.Errorf("%s is taken", css)
		}
	}
}

// What a brand's colour is used for can be read, whatever colour it is.
func TestColours(t *testing.T) {
	for s, want := range map[string]string{"#abc": "#aabbcc", "#0F766E": "#0f766e"} {
		if c, ok := core.ParseColour(s); !ok || c.String() != want {
			t.Errorf("%s: %v %t", s, c, ok)
		}
	}
	for _, s := range []string{"", "red", "#ab", "#abcd", "#12345g", "#0f766e;", " #000", "#000\n"} {
		if _, ok := core.ParseColour(s); ok {
			t.Errorf("%q is a colour", s)
		}
	}
	if r := core.White.Contrast(core.Black); r < 20.99 || r > 21.01 {
		t.Errorf("black on white: %f", r)
	}
	grounds := []core.Colour{core.White, {R: 0xf4, G: 0xf5, B: 0xf9}, {R: 0x0f, G: 0x12, B: 0x1b}, {R: 0x18, G: 0x1c, B: 0x28}}
	poor := 0
	for r := 0; r < 256; r += 15 {
		for g := 0; g < 256; g += 15 {
			for b := 0; b < 256; b += 15 {
				c := core.Colour{R: uint8(r), G: uint8(g), B: uint8(b)}
				if c.Ink().Contrast(c) < 4.5 {
					t.Errorf("the text on %v: %v", c, c.Ink())
				}
				for _, ground := range grounds {
					if c.Contrast(ground) < 4.5 {
						poor++
					}
					if d := c.Legible(ground, 4.5); d.Contrast(ground) < 4.5 {
						t.Errorf("%v on %v becomes %v", c, ground, d)
					}
				}
			}
		}
	}
	if poor == 0 {
		t.Error("control: every colour was legible as it is")
	}
}

func TestBrandFor(t *testing.T) {
	brands := []core.Brand{
		{ID: "default", Domain: core.DefaultBrandDomain, Default: true}, {ID: "dot", Domain: "."},
		{ID: "com", Domain: "Example.com"}, {ID: "shop", Domain: "shop.example.com"}, {ID: "ip", Domain: "192.0.2.7"},
	}
	for host, want := range map[string]core.BrandID{
		"example.com": "com", "EXAMPLE.com:9080": "com", "www.example.com": "com", "a.shop.example.com": "shop", "shop.example.com": "shop",
		"notexample.com": "default", "xshop.example.com": "com", "com": "default", "192.0.2.7:80": "ip", "": "default", strings.Repeat("x", 300): "default",
		core.DefaultBrandDomain: "default",
	} {
		if got := core.BrandFor(brands, host).ID; got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	if b := core.BrandFor(nil, "x.test"); !b.Default || b.Domain != core.DefaultBrandDomain {
		t.Errorf("without brands: %+v", b)
	}
}
