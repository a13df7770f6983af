package media

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
)

// The parts of an icon file: a head with the number of its pictures, and an entry for each, which has at 8 how long it is
// and at 12 where it begins. A picture is a PNG, or a bitmap without the head of its file, whose own is as long as this.
const (
	icoHead   = 6
	icoEntry  = 16
	icoBitmap = 40
)

// cleanIcon copies the pictures that an icon file names, one after the other: nothing that is between them or after
// them, and of a PNG what cleanPNG leaves. A bitmap (DIB) is copied as it is, with what may stand beside its pixels.
func cleanIcon(to io.Writer, from io.Reader) error {
	all, err := readSmall(from)
	if err != nil {
		return err
	}
	if len(all) < icoHead {
		return errDamaged
	}
	n := le16(all[4:])
	if n == 0 || len(all) < icoHead+n*icoEntry {
		return errDamaged
	}
	out := bytes.Clone(all[:icoHead+n*icoEntry])
	read := int64(0) // of all pictures
	for i := range n {
		place := icoHead + i*icoEntry + 8 // out may move
		size, at := int64(binary.LittleEndian.Uint32(out[place:])), int64(binary.LittleEndian.Uint32(out[place+4:]))
		if at+size > int64(len(all)) {
			return io.ErrUnexpectedEOF
		}
		if read += size; read > maxSmall { // entries may name one picture many times
			return errSmall
		}
		picture := all[at : at+size]
		switch {
		case bytes.HasPrefix(picture, []byte(signPNG)):
			var b bytes.Buffer
			if err := cleanPNG(&b, bufio.NewReader(bytes.NewReader(picture))); err != nil {
				return err
			}
			picture = b.Bytes()
		case len(picture) < icoBitmap:
			return errDamaged
		default: // twice as high, as a mask goes with it
			if err := checkSize(le32(picture[4:]), le32(picture[8:])/2); err != nil {
				return err
			}
		}
		if len(out)+len(picture) > maxSmall {
			return errSmall
		}
		binary.LittleEndian.PutUint32(out[place:], uint32(len(picture))) //nolint:gosec // of maxSmall bytes at most
		binary.LittleEndian.PutUint32(out[place+4:], uint32(len(out)))   //nolint:gosec // as above
		out = append(out, picture...)
	}
	_, err = to.Write(out)
	return err
}
