package media_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	imagepng "image/png"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

// picture is one of so many pixels, in a format.
func picture(t testing.TB, format string, width, height int) []byte {
	t.Helper()
	img := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.White, color.Black, color.RGBA{R: 200, A: 255}})
	for i := range img.Pix {
		img.Pix[i] = byte(i*i) % 3
	}
	var out bytes.Buffer
	var err error
	switch format {
	case "png":
		err = imagepng.Encode(&out, img)
	case "jpg":
		err = jpeg.Encode(&out, img, nil)
	case "gif":
		err = gif.Encode(&out, img, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// chunk is a part of a PNG.
func chunk(kind, data string) string {
	all := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	all = append(all, kind+data...)
	return string(binary.BigEndian.AppendUint32(all, crc32.ChecksumIEEE([]byte(kind+data))))
}

// segment is a part of a JPEG.
func segment(mark byte, data string) string {
	return string(append([]byte{0xff, mark}, binary.BigEndian.AppendUint16(nil, uint16(len(data)+2))...)) + data
}

func cleaned(name string, content []byte) ([]byte, error) {
	r := media.Clean(name, bytes.NewReader(content))
	defer r.Close()
	return io.ReadAll(r)
}

// samePicture compares as another decoder sees it.
func samePicture(t *testing.T, a, b []byte) {
	t.Helper()
	x, _, err := image.Decode(bytes.NewReader(a))
	if err != nil {
		t.Fatal(err)
	}
	y, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if x.Bounds() != y.Bounds() {
		t.Fatalf("%v became %v", x.Bounds(), y.Bounds())
	}
	for i := range x.Bounds().Dx() {
		for j := range x.Bounds().Dy() {
			if fmt.Sprint(x.At(i, j)) != fmt.Sprint(y.At(i, j)) {
				t.Fatalf("%d,%d: %v became %v", i, j, x.At(i, j), y.At(i, j))
			}
		}
	}
}

// M-12: what a picture says of where and when it was taken does not stay, and the picture does. The
// control is that it was there.
func TestM12Metadata(t *testing.T) {
	p := string(picture(t, "png", 60, 40))
	ihdr := len("\x89PNG\r\n\x1a\n") + 25
	j := string(picture(t, "jpg", 60, 40))
	for _, c := range []struct{ name, plain, told string }{
		{"a.png", p, p[:ihdr] + chunk("tEXt", "Location\x00"+place) + chunk("gAMA", "\x00\x00\xb1\x8f") + chunk("eXIf", place) + chunk("iTXt", place) + chunk("zTXt", place) + chunk("tIME", place) + chunk("prVt", place) + p[ihdr:] + "after the end: " + place},
		{"a.jpg", j, j[:2] + segment(0xe0, "JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00") + segment(0xe1, "Exif\x00\x00"+place) + "\xff\xff" + segment(0xe1, "http://ns.adobe.com/xap/1.0/\x00"+place)[1:] + segment(0xed, place) + segment(0xfe, place) + j[2:] + "after the end: " + place},
	} {
		if !strings.Contains(c.told, place) {
			t.Fatalf("control: %s says nothing", c.name)
		}
		samePicture(t, []byte(c.plain), []byte(c.told))
		out, err := cleaned(c.name, []byte(c.told))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if bytes.Contains(out, []byte("52.5")) {
			t.Errorf("%s still says where it was taken", c.name)
		}
		samePicture(t, []byte(c.plain), out)
		again, err := cleaned(c.name, out)
		if err != nil || !bytes.Equal(again, out) {
			t.Errorf("%s: what is clean is changed: %v", c.name, err)
		}
	}
	out, err := cleaned("a.png", []byte(p))
	if err != nil || string(out) != p {
		t.Errorf("a plain PNG is changed: %v", err)
	}
	if out, err = cleaned("a.jpeg", []byte(j)); err != nil || string(out) != j {
		t.Errorf("a plain JPEG is changed: %v", err)
	}
}

func TestCleanKeeps(t *testing.T) {
	for name, content := range map[string]string{
		"a.gif":      string(picture(t, "gif", 60, 40)),
		"a.GIF":      string(picture(t, "gif", 1, 1)),
		"b.svg":      svg,
		"c.svg":      "\xef\xbb\xbf<svg/>",
		"a.ico":      icon(string(picture(t, "png", 16, 16)), bitmap(16, 16)),
		"x.webp":     webp(riff("VP8X", "\x00\x00\x00\x00\xff\x00\x00\xff\x00\x00"), riff("VP8L", "\x2f\xff\xc0\x3f\x00!")),
		"l.webp":     webp(riff("VP8L", "\x2f\xff\xc0\x3f\x00")),
		"lossy.webp": webp(riff("VP8 ", "\x00\x00\x00\x9d\x01\x2a\x00\x01\x00\x01")),
	} {
		if out, err := cleaned(name, []byte(content)); err != nil || string(out) != content {
			t.Errorf("%s: %v, %d of %d bytes", name, err, len(out), len(content))
		}
	}
}

// M-07, M-12: what is refused, and what is said about it. Nothing of it is stored.
func TestM12Refused(t *testing.T) {
	p, j, g := picture(t, "png", 60, 40), picture(t, "jpg", 60, 40), picture(t, "gif", 60, 40)
	bomb := func(width, height uint32) []byte {
		out := bytes.Clone(p)
		binary.BigEndian.PutUint32(out[16:], width)
		binary.BigEndian.PutUint32(out[20:], height)
		return out
	}
	frame := bytes.Index(j, []byte{0xff, 0xc0})
	wide := bytes.Clone(j)
	binary.BigEndian.PutUint16(wide[frame+7:], 60000)
	sizeless := bytes.Clone(j)
	sizeless[frame+1] = 0xfe
	wideGIF := bytes.Clone(g)
	binary.LittleEndian.PutUint16(wideGIF[6:], 65535)
	const other, large, early, damaged = "not what its name says", "pixels", "ends too early", "damaged"
	for _, c := range []struct {
		name    string
		content []byte
		want    string
	}{
		{"x.png", []byte("<html><script>alert(1)</script>"), other},
		{"x.png", []byte(svg), other},
		{"x.png", j, other},
		{"x.jpg", p, other},
		{"x.svg", []byte("<html><svg/></html>"), other},
		{"x.svg", p, other},
		{"x.png", nil, other},
		{"x.html", []byte("<html>"), "ends in .png"},
		{"x.png.html", p, "ends in .png"},
		{"x.pdf", []byte("%PDF-1.7"), "ends in .png"},
		{"x.svgz", []byte("\x1f\x8b"), "ends in .png"},
		{".htaccess", p, "ends in .png"},
		{"png", p, "ends in .png"},
		{"x.png", bomb(100_000, 100_000), large},
		{"x.png", bomb(16384, 16384), large},
		{"x.png", bomb(1, 16385), large},
		{"x.png", bomb(0xffffffff, 0xffffffff), large},
		{"x.png", bomb(0, 10), "how large"},
		{"x.jpg", wide, large},
		{"x.jpg", sizeless, "how large"},
		{"x.gif", wideGIF, large},
		{"x.webp", []byte(webp(riff("VP8X", "\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff"))), large},
		{"x.webp", []byte(webp(riff("VP8L", "\x2f\xff\xff\xff\xff"))), large},
		{"x.webp", []byte(webp(riff("VP8 ", "\x00\x00\x00\x9d\x01\x2a\x00\x00\x00\x01"))), "how large"},
		{"x.webp", []byte(webp(riff("VP8X", strings.Repeat("\x00", 10)), riff("ANMF", strings.Repeat("\xff", 16)))), large},
		{"x.webp", []byte(webp(riff("VP8X", strings.Repeat("\x00", 10)), riff("VP8L", "\x2f\xff\xff\xff\xff"))), large},
		{"x.webp", []byte(webp(riff("VP8?", "\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff"))), damaged},
		{"x.webp", []byte("RIFF\x00\x00\x00\x00WEBP\x00\x00\x00\x00"), other},
		{"x.webp", []byte(webp(riff("VP8X", "\x00"))), damaged},
		{"x.webp", []byte(webp(riff("VP8X", strings.Repeat("\x00", 10)), "EXIF\xff\xff\xff\xff")), damaged},
		{"x.webp", []byte("RIFF\x00\x00\x00\x00WEBPVP8X\x00\x00\x00\x00"), damaged},
		{"x.webp", []byte(webp(riff("VP8L", "\x2f\x00\x00\x00\x00"))[:24]), early},
		{"x.ico", []byte(icon(string(p), string(bomb(60000, 60000)))), large},
		{"x.ico", []byte(icon(bitmap(16, 60000))), large},
		{"x.ico", []byte(icon(bitmap(0x80000000, 16))), large},
		{"x.ico", []byte(icon(bitmap(16, 0))), "how large"},
		{"x.ico", []byte(icon(string(p[:len(p)-1]))), early},
		{"x.ico", []byte(icon(string(p)))[:len(p)], early},
		{"x.ico", []byte("\x00\x00\x01\x00\x01\x00" + strings.Repeat("\xff", 16)), early},
		{"x.ico", []byte(icon(bitmap(16, 16)[:39])), damaged},
		{"x.ico", []byte(icon("")), damaged},
		{"x.ico", []byte(icon()), damaged},
		{"x.ico", []byte("\x00\x00\x01\x00\x01"), damaged},
		{"x.ico", []byte("\x00\x00\x01\x00\xff\xff" + strings.Repeat("\x00", 1000)), damaged},
		{"x.ico", []byte(sameIcon(100, bitmap(16, 16)+strings.Repeat("x", 20<<10))), "at most"},
		// What little is left of each would be little for all of them, too, and is looked through each time.
		{"x.ico", []byte(sameIcon(100, string(p[:33])+strings.Repeat(chunk("tEXt", ""), 2000)+string(p[33:]))), "at most"},
		{"x.ico", append([]byte(icon(string(p))), make([]byte, 1<<20)...), "at most"},
		{"x.png", p[:len(p)-1], early},
		{"x.png", p[:20], early},
		{"x.jpg", j[:len(j)-2], early},
		{"x.jpg", j[:frame+4], early},
		{"x.gif", g[:9], early},
		{"x.webp", []byte("RIFF\xff\x00\x00\x00WEBPVP8X"), early},
		{"x.gif", g[:len(g)-1], early},
		{"x.gif", g[:len(g)-4], early},
		{"x.gif", []byte(string(g[:len(g)-1]) + "\x2c\xff\xff\xff\xff\x01\x00\x01\x00\x00"), large},
		{"x.gif", []byte(string(g[:len(g)-1]) + "\x00"), damaged},
		{"x.gif", []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), damaged},
		{"x.png", append(bytes.Clone(p[:8]), p[33:]...), damaged},
		{"x.jpg", []byte("\xff\xd8\xff\xe1\x00\x00\x00\x00\x00\x00\x00\x00"), damaged},
		{"x.svg", []byte(`<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>`), other},
		{"x.svg", []byte(`<svg/><!ENTITY a "aaaa">`), "entities"},
		{"x.svg", []byte("<svg>\xff</svg>"), "UTF-8"},
		{"x.svg", append([]byte("<svg>"), make([]byte, media.MaxUpload)...), "at most"},
	} {
		_, err := cleaned(c.name, c.content)
		var wrong *core.FieldError
		if !errors.As(err, &wrong) || wrong.Field != "file" || !strings.Contains(wrong.Message, c.want) {
			t.Errorf("%s %.30q: %v, want %q", c.name, c.content, err, c.want)
		}
	}
	// As large as may be, and a byte more.
	begin, end := p[:len(p)-12], p[len(p)-12:]
	fill := strings.Repeat("x", media.MaxUpload-len(p)-12)
	for more, want := range map[string]bool{"": true, "x": false} {
		_, err := cleaned("x.png", append(append(bytes.Clone(begin), chunk("tEXt", fill+more)...), end...))
		if (err == nil) != want || !want && !strings.Contains(err.Error(), "larger than 25 MB") {
			t.Errorf("with %d bytes more: %v", len(more), err)
		}
	}
}

// M-12: a file without an end is read as far as it may go, and what its sender's line does is told.
func TestCleanEndless(t *testing.T) {
	read := 0
	endless := io.MultiReader(strings.NewReader("GIF89a\x01\x00\x01\x00\x00\x00\x00!\xff\x0bICCRGBG1012"), readerFunc(func(p []byte) (int, error) {
		read += len(p)
		for i := range p {
			p[i] = 1
		}
		return len(p), nil
	}))
	r := media.Clean("x.gif", endless)
	n, err := io.Copy(io.Discard, r)
	if err == nil || !strings.Contains(err.Error(), "larger than 25 MB") || n > media.MaxUpload || read > media.MaxUpload+1<<20 {
		t.Errorf("%v after %d, %d were read", err, n, read)
	}
	broken := errors.New("the line went dead")
	r = media.Clean("x.gif", io.MultiReader(bytes.NewReader(picture(t, "gif", 2, 2)[:20]), iotest.ErrReader(broken)))
	if _, err := io.ReadAll(r); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	// Who does not read on does not keep it waiting.
	r = media.Clean("x.png", bytes.NewReader(picture(t, "png", 2000, 2000)))
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Whatever is sent, what comes out is what its name promises, and no panic.
func FuzzClean(f *testing.F) {
	f.Add("x.png", picture(f, "png", 3, 2))
	f.Add("x.jpg", picture(f, "jpg", 3, 2))
	f.Add("x.gif", picture(f, "gif", 3, 2))
	f.Add("x.svg", []byte(svg))
	f.Add("x.ico", []byte(icon(string(picture(f, "png", 3, 2)), bitmap(3, 2))))
	f.Add("x.webp", []byte(testdata(f, "lossy.webp")))
	f.Add("x.webp", []byte(testdata(f, "animated.webp")))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		out, err := cleaned(name, content)
		if err != nil {
			var wrong *core.FieldError
			if !errors.As(err, &wrong) {
				t.Fatal(err)
			}
			return
		}
		if kind := media.TypeOf(name, out[:min(len(out), 512)]); !strings.HasPrefix(kind, "image/") {
			t.Errorf("%q became %s", name, kind)
		}
		config, _, err := image.DecodeConfig(bytes.NewReader(out))
		if err == nil && (config.Width > media.MaxSide || config.Height > media.MaxSide) {
			t.Errorf("%d times %d pixels", config.Width, config.Height)
		}
	})
}
