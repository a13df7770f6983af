package media

import (
	"bufio"
	"encoding/binary"
	"io"
)

// noteFlags are those of a WebP that say it has EXIF and XMP (RFC 9649 §2.7).
const noteFlags = 0x08 | 0x04

// cleanWebP copies the chunks that a picture is made of (RFC 9649 §2.3 to 2.7): not EXIF, XMP and what is not known,
// and nothing after the end. How long it all is, and each frame, stands at its beginning, so a chunk of zeros that
// nobody reads takes the place of each that is left out.
func cleanWebP(to io.Writer, from *bufio.Reader) error {
	out := bufio.NewWriterSize(to, 32<<10)
	head, err := from.Peek(12)
	if err != nil {
		return err
	}
	left := int64(binary.LittleEndian.Uint32(head[4:])) - 4
	if _, err := io.CopyN(out, from, 12); err != nil {
		return err
	}
	pictures := 0
	for first := true; left >= 8; first = false {
		head, err := from.Peek(8)
		if err != nil {
			return err
		}
		kind := string(head[:4])
		length := int64(binary.LittleEndian.Uint32(head[4:]))
		whole := min(8+length+length&1, left) // some leave out the byte that makes the last one even
		told := webpHead(kind)
		if 8+length > left || length < int64(told) || first && (told == 0 || kind == "ANMF") {
			return errDamaged
		}
		if kind == "ANMF" { // its own chunks are next
			whole = 8 + int64(told)
		}
		left -= whole
		if told == 0 && kind != "ICCP" && kind != "ANIM" && kind != "ALPH" {
			if _, err := io.CopyN(io.Discard, from, whole); err != nil {
				return err
			}
			if _, err := out.Write(binary.LittleEndian.AppendUint32([]byte("JUNK"), uint32(length))); err != nil { //nolint:gosec // read as one
				return err
			}
			if _, err := io.CopyN(out, zeros{}, whole-8); err != nil {
				return err
			}
			continue
		}
		begin := make([]byte, 8+told)
		if _, err := io.ReadFull(from, begin); err != nil {
			return err
		}
		if kind == "VP8X" {
			begin[8] &^= noteFlags
		}
		if told > 0 {
			if err := checkSize(sizeWebP(begin)); err != nil {
				return err
			}
			if kind != "VP8X" && kind != "ANMF" {
				pictures++
			}
		}
		if _, err := out.Write(begin); err != nil {
			return err
		}
		if _, err := io.CopyN(out, from, whole-int64(len(begin))); err != nil {
			return err
		}
	}
	if pictures == 0 {
		return errDamaged
	}
	if _, err := io.CopyN(out, zeros{}, max(0, left)); err != nil {
		return err
	}
	return out.Flush()
}

// webpHead is how many bytes of a chunk tell how large a picture is; 0: it does not.
func webpHead(kind string) int {
	switch kind {
	case "VP8X", "VP8 ":
		return 10
	case "VP8L":
		return 5
	case "ANMF":
		return 16
	}
	return 0
}

// sizeWebP reads the size of a chunk that tells it.
func sizeWebP(b []byte) (width, height int) {
	switch string(b[:4]) {
	case "VP8X":
		return le24(b[12:]) + 1, le24(b[15:]) + 1
	case "ANMF":
		return le24(b[14:]) + 1, le24(b[17:]) + 1
	case "VP8L":
		return le16(b[9:])&0x3fff + 1, (le24(b[10:])>>6)&0x3fff + 1
	}
	return le16(b[14:]) & 0x3fff, le16(b[16:]) & 0x3fff
}

func le24(b []byte) int { return le16(b) | int(b[2])<<16 }

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
