package media

import (
	"bufio"
	"encoding/binary"
	"io"
)

const signPNG = "\x89PNG\r\n\x1a\n"

func be32(b []byte) int { return int(binary.BigEndian.Uint32(b)) }

// cleanPNG copies the chunks that a picture is made of (PNG, third edition, §5.3 and 11): not texts, times and
// EXIF, and nothing after the end.
func cleanPNG(to io.Writer, from *bufio.Reader) error {
	if _, err := from.Discard(len(signPNG)); err != nil {
		return err
	}
	if _, err := io.WriteString(to, signPNG); err != nil {
		return err
	}
	for first := true; ; first = false {
		head, err := from.Peek(8)
		if err != nil {
			return err
		}
		length, kind := be32(head), string(head[4:])
		if first {
			head, err := from.Peek(16)
			if err != nil {
				return err
			}
			if kind != "IHDR" {
				return wrongFile("The picture is damaged: its first part is not the one with its size.")
			}
			if err := checkSize(be32(head[8:]), be32(head[12:])); err != nil {
				return err
			}
		}
		whole := int64(length) + 12 // with its own length, kind and checksum
		if !keepsChunk(kind) {
			if _, err := io.CopyN(io.Discard, from, whole); err != nil {
				return err
			}
			continue
		}
		if _, err := io.CopyN(to, from, whole); err != nil {
			return err
		}
		if kind == "IEND" {
			return nil
		}
	}
}

// keepsChunk reports whether a chunk changes how the picture looks.
func keepsChunk(kind string) bool {
	switch kind {
	case "tRNS", "gAMA", "cHRM", "sRGB", "iCCP", "cICP", "sBIT", "bKGD", "pHYs", "acTL", "fcTL", "fdAT":
		return true
	}
	return kind[0] >= 'A' && kind[0] <= 'Z' // a critical one
}

// The markers of a JPEG that are looked at (ITU-T T.81, table B.1).
const (
	markStuffed = 0x00
	markReset   = 0xd0 // to 0xd7
	markBegin   = 0xd8
	markEnd     = 0xd9
	markScan    = 0xda
	markApp0    = 0xe0 // JFIF
	markICC     = 0xe2
	markAdobe   = 0xee
	markAppLast = 0xef
	markComment = 0xfe
)

// cleanJPEG copies the segments that a picture is made of: not EXIF, XMP and comments, and nothing
// after the end.
func cleanJPEG(to io.Writer, from *bufio.Reader) error {
	out := bufio.NewWriterSize(to, 32<<10)
	size := false
	for {
		mark, err := nextMark(out, from)
		if err != nil {
			return err
		}
		switch {
		case mark == markEnd && !size:
			return wrongFile("The picture does not say how large it is.")
		case mark == markBegin || mark == markEnd || mark >= markReset && mark < markBegin || mark == markStuffed:
			if _, err := out.Write([]byte{0xff, mark}); err != nil {
				return err
			}
			if mark == markEnd {
				return out.Flush()
			}
			continue
		}
		head, err := from.Peek(7)
		if err != nil {
			return err
		}
		length := int64(binary.BigEndian.Uint16(head))
		if length < 2 {
			return errDamaged
		}
		if isFrame(mark) {
			size = true
			if err := checkSize(int(binary.BigEndian.Uint16(head[5:7])), int(binary.BigEndian.Uint16(head[3:5]))); err != nil {
				return err
			}
		}
		if mark == markScan && !size {
			return wrongFile("The picture does not say how large it is.")
		}
		if dropsSegment(mark, string(head[2:])) {
			if _, err := io.CopyN(io.Discard, from, length); err != nil {
				return err
			}
			continue
		}
		if _, err := out.Write([]byte{0xff, mark}); err != nil {
			return err
		}
		if _, err := io.CopyN(out, from, length); err != nil {
			return err
		}
	}
}

// nextMark copies what is before a marker, which is the coded picture, and reads it.
func nextMark(out *bufio.Writer, from *bufio.Reader) (byte, error) {
	for {
		b, err := from.ReadByte()
		if err != nil {
			return 0, err
		}
		if b != 0xff {
			if err := out.WriteByte(b); err != nil {
				return 0, err
			}
			continue
		}
		for b == 0xff { // any number of them may fill
			if b, err = from.ReadByte(); err != nil {
				return 0, err
			}
		}
		return b, nil
	}
}

// isFrame reports whether a segment says how large the picture is (table B.1, SOF0 to SOF15).
func isFrame(mark byte) bool {
	return mark >= 0xc0 && mark <= 0xcf && mark != 0xc4 && mark != 0xc8 && mark != 0xcc
}

// dropsSegment: of what programs note in a JPEG only what changes how it looks stays, and not a small picture of it.
func dropsSegment(mark byte, begin string) bool {
	switch mark {
	case markApp0:
		return begin != "JFIF\x00"
	case markICC:
		return begin != "ICC_P"
	case markAdobe:
		return begin != "Adobe"
	}
	return mark == markComment || mark > markApp0 && mark <= markAppLast
}
