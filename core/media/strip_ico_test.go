package media_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// bitmap is one of an icon file, of a bit for each pixel.
func bitmap(width, height uint32) string {
	b := binary.LittleEndian.AppendUint32(nil, 40)
	b = binary.LittleEndian.AppendUint32(b, width)
	b = binary.LittleEndian.AppendUint32(b, 2*height)
	return string(b) + "\x01\x00\x01\x00" + strings.Repeat("\x00", 24) + "the pixels"
}

// icon is a file of such pictures.
func icon(pictures ...string) string {
	at := 6 + 16*len(pictures)
	out := binary.LittleEndian.AppendUint16([]byte("\x00\x00\x01\x00"), uint16(len(pictures)))
	for _, p := range pictures {
		out = append(out, "\x10\x10\x00\x00\x01\x00\x20\x00"...)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(p)))
		out = binary.LittleEndian.AppendUint32(out, uint32(at))
		at += len(p)
	}
	return string(out) + strings.Join(pictures, "")
}

// sameIcon is a file that names one picture many times.
func sameIcon(n int, picture string) string {
	out := []byte(icon(append(make([]string, n-1), picture)...))
	for i := range n - 1 {
		copy(out[6+16*i+8:], out[6+16*(n-1)+8:][:8])
	}
	return string(out)
}

// M-12: an icon file keeps its pictures, and tells nothing beside. The control is that it did.
func TestM12Icon(t *testing.T) {
	p := string(picture(t, "png", 60, 40))
	ihdr := len("\x89PNG\r\n\x1a\n") + 25
	told := p[:ihdr] + chunk("tEXt", "Location\x00"+place) + chunk("eXIf", place) + p[ihdr:] + place
	apart := []byte(icon(bitmap(16, 16), place+told, place)) // the second begins after what is between
	binary.LittleEndian.PutUint32(apart[6+16+12:], binary.LittleEndian.Uint32(apart[6+16+12:])+uint32(len(place)))
	binary.LittleEndian.PutUint32(apart[6+16+8:], uint32(len(told)))
	apart[4] = 2
	copy(apart[6+32:6+48], place) // where a third entry was
	for name, c := range map[string]struct{ file, want string }{
		"within a picture":  {icon(told, bitmap(16, 16), told), icon(p, bitmap(16, 16), p)},
		"between and after": {string(apart) + place, icon(bitmap(16, 16), p)},
		"one for two":       {sameIcon(2, bitmap(16, 16)) + place, icon(bitmap(16, 16), bitmap(16, 16))},
	} {
		if !strings.Contains(c.file, place) {
			t.Fatalf("control: %s says nothing", name)
		}
		out, err := cleaned("a.ico", []byte(c.file))
		if err != nil || string(out) != c.want {
			t.Errorf("%s: %v, %q, want %q", name, err, out, c.want)
		}
		again, err := cleaned("a.ICO", out)
		if err != nil || !bytes.Equal(again, out) {
			t.Errorf("%s: what is clean is changed: %v", name, err)
		}
	}
}
