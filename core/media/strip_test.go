package media_test

import (
	"bytes"
	"encoding/binary"
	"image/gif"
	"os"
	"reflect"
	"strings"
	"testing"
)

// place is what no picture is to tell.
const place = "52.5200 N 13.4050 E"

func testdata(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// riff is a part of a WebP.
func riff(kind, data string) string {
	return kind + string(binary.LittleEndian.AppendUint32(nil, uint32(len(data)))) + data + strings.Repeat("\x00", len(data)%2)
}

// webp is a file of such parts.
func webp(parts ...string) string { return riff("RIFF", "WEBP"+strings.Join(parts, "")) }

// chunksOf are the parts of a WebP that a picture is made of, with what is left of the flags of its head.
func chunksOf(t *testing.T, file string) (kept []string, rest string) {
	t.Helper()
	if n := binary.LittleEndian.Uint32([]byte(file[4:])); int(n) != len(file)-8 {
		t.Errorf("it says that it has %d bytes, and has %d", n, len(file)-8)
	}
	for file = file[12:]; len(file) >= 8; {
		n := int(binary.LittleEndian.Uint32([]byte(file[4:])))
		part := file[:8+n+n%2]
		file = file[len(part):]
		switch part[:4] {
		case "VP8X":
			kept = append(kept, part[:8]+string(part[8]&^0x0c)+part[9:])
		case "VP8 ", "VP8L", "ALPH", "ANIM", "ANMF", "ICCP":
			kept = append(kept, part)
		case "JUNK":
			rest += part[8:]
		default:
			rest += part
		}
	}
	return kept, rest + file
}

// M-12: a WebP loses EXIF, XMP and what nobody knows, and no part of the picture. The files are libwebp's; the
// control is that they tell.
func TestM12WebP(t *testing.T) {
	lossy := testdata(t, "lossy.webp")
	head, picture := lossy[12:30], strings.Split(lossy[30:], "EXIF")[0]
	frames := func(note string) string {
		frame := riff("ANMF", strings.Repeat("\x00", 16)+note+picture)
		return webp(head, frame, frame)
	}
	for name, file := range map[string]string{
		"lossy": lossy, "lossless": testdata(t, "lossless.webp"), "animated": testdata(t, "animated.webp"),
		"unknown":        webp(head, riff("GPS ", place), picture, riff("note", place+"!")),
		"odd":            webp(head, riff("EXIF", place), picture, riff("XMP ", place)),
		"after the end":  webp(head, picture, riff("EXIF", place)) + place,
		"plain":          testdata(t, "plain.webp") + place,
		"within a frame": frames(riff("EXIF", place)),
	} {
		if !strings.Contains(file, place) {
			t.Fatalf("control: %s says nothing", name)
		}
		out, err := cleaned("a.webp", []byte(file))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if bytes.Contains(out, []byte("52.5")) || bytes.Contains(out, []byte("EXIF")) || bytes.Contains(out, []byte("XMP ")) {
			t.Errorf("%s still tells: %q", name, out)
		}
		if i := bytes.Index(out, []byte("VP8X")); i >= 0 && out[i+8]&0x0c != 0 {
			t.Errorf("%s says that it has EXIF or XMP: %x", name, out[i+8])
		}
		got, rest := chunksOf(t, string(out))
		if strings.Trim(rest, "\x00") != "" {
			t.Errorf("%s: it was filled up with %q", name, rest)
		}
		if name == "within a frame" { // which stays as long as it says
			file = frames(riff("JUNK", strings.Repeat("\x00", len(place))))
		}
		if want, _ := chunksOf(t, file[:8+binary.LittleEndian.Uint32([]byte(file[4:]))]); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the picture is %q, and was %q", name, got, want)
		}
		again, err := cleaned("a.webp", out)
		if err != nil || !bytes.Equal(again, out) {
			t.Errorf("%s: what is clean is changed: %v", name, err)
		}
	}
	for _, plain := range []string{testdata(t, "plain.webp"), "RIFF\x11\x00\x00\x00WEBPVP8L\x05\x00\x00\x00\x2f\x00\x00\x00\x00"} {
		if out, err := cleaned("a.webp", []byte(plain)); err != nil || string(out) != plain {
			t.Errorf("a plain WebP is changed: %q, %v", out, err)
		}
	}
}

// block is an extension of a GIF.
func block(label, id string, data ...string) string {
	out := "\x21" + label
	for _, d := range append([]string{id}, data...) {
		if d != "" {
			out += string([]byte{byte(len(d))}) + d
		}
	}
	return out + "\x00"
}

// M-12: a GIF loses comments, texts and XMP, and neither its pictures nor how they are shown. The control is that
// it tells.
func TestM12GIF(t *testing.T) {
	file := testdata(t, "animated.gif")
	table := 13 + 3<<(file[10]&7+1)
	// XMP is not in blocks: a row of all lengths leads whoever skips it to the end.
	magic := "\x01"
	for i := 255; i >= 0; i-- {
		magic += string([]byte{byte(i)})
	}
	xmp := "\x21\xff\x0bXMP DataXMP<x:xmpmeta>" + place + "</x:xmpmeta>" + magic + "\x00"
	told := file[:table] + block("\xfe", place) + xmp + block("\xff", "ADOBE:IR1.0", place, place) + block("\x01", strings.Repeat("\x00", 12), place) +
		block("\x99", place) + block("\xff", "NETSCAPE2.0", place, "\x01\x02\x00") + block("\xff", "ICCRGBG1012", "profile") + block("\xf9", "\x00\x00\x00\x00", place) + file[table:] + place
	for name, file := range map[string]string{"by another program": file, "told": told} {
		if !strings.Contains(file, place) {
			t.Fatalf("control: %s says nothing", name)
		}
		out, err := cleaned("a.gif", []byte(file))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if bytes.Contains(out, []byte("52.5")) || bytes.Contains(out, []byte("xmpmeta")) {
			t.Errorf("%s still tells", name)
		}
		if name == "told" && !bytes.Contains(out, []byte("ICCRGBG1012\x07profile\x00")) {
			t.Errorf("%s: what colours mean is lost", name)
		}
		want, err := gif.DecodeAll(strings.NewReader(testdata(t, "animated.gif")))
		if err != nil {
			t.Fatal(err)
		}
		got, err := gif.DecodeAll(bytes.NewReader(out))
		if err != nil || !reflect.DeepEqual(got, want) || len(got.Image) != 3 || got.LoopCount != 2 {
			t.Errorf("%s: %d pictures, shown %d times after the first: %v", name, len(got.Image), got.LoopCount, err)
		}
		again, err := cleaned("a.gif", out)
		if err != nil || !bytes.Equal(again, out) {
			t.Errorf("%s: what is clean is changed: %v", name, err)
		}
	}
}

// M-12: a small picture of a JPEG, of before it was cut, and other programs' notes go, too.
func TestM12JPEGNotes(t *testing.T) {
	j := string(picture(t, "jpg", 20, 10))
	told := j[:2] + segment(0xe0, "JFXX\x00\x10"+place) + segment(0xe2, "MPF\x00"+place) + segment(0xe2, "ICC_PROFILE\x00\x01\x01profile") + segment(0xee, "Ducky"+place) + segment(0xee, "Adobe\x00\x64\x00\x00\x00\x00\x01") + j[2:]
	out, err := cleaned("a.jpg", []byte(told))
	if err != nil || bytes.Contains(out, []byte("52.5")) || !bytes.Contains(out, []byte("ICC_PROFILE")) || !bytes.Contains(out, []byte("Adobe")) {
		t.Errorf("%v: %q", err, out)
	}
}
