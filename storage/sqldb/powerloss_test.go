//go:build linux

package sqldb_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/postern-sso/postern/storage/sqldb"
)

// disk is a file system in an image in memory, mounted by way of a loop device. What the
// image holds is what reached the disk: what was written and not synced is in the kernel's cache of
// the mounted file system, and a copy of the image is what a power cut leaves.
type disk struct {
	t      *testing.T
	base   string // a tmpfs: the images
	image  string
	mount  string
	copies int
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("did not run: only root can mount a file system")
	}
	d := &disk{t: t, base: t.TempDir()}
	if err := syscall.Mount("none", d.base, "tmpfs", 0, "size=256m"); err != nil {
		t.Skipf("did not run: mount: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(d.base, syscall.MNT_DETACH)) })
	d.image, d.mount = filepath.Join(d.base, "image"), filepath.Join(d.base, "mount")
	must(t, os.Mkdir(d.mount, 0o700))
	f, err := os.Create(d.image)
	must(t, err)
	must(t, f.Truncate(64<<20))
	must(t, f.Close())
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", d.image).CombinedOutput(); err != nil {
		t.Skipf("did not run: mkfs.ext4: %v %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.mount).CombinedOutput(); err != nil {
		t.Skipf("did not run: mount -o loop: %v %s", err, out)
	}
	t.Cleanup(func() { d.unmount() })
	return d
}

func (d *disk) unmount() {
	if out, err := exec.Command("umount", d.mount).CombinedOutput(); err != nil {
		d.t.Errorf("umount: %v %s", err, out)
	}
}

// cut is a power cut: what is mounted afterwards is what the disk held.
func (d *disk) cut() {
	d.t.Helper()
	kept, err := os.ReadFile(d.image)
	must(d.t, err)
	for range 50 {
		// Read twice alike: nothing was written back in between, so it is the state of one moment.
		again, err := os.ReadFile(d.image)
		must(d.t, err)
		if bytes.Equal(kept, again) {
			break
		}
		kept = again
	}
	d.unmount()
	must(d.t, os.WriteFile(d.image, kept, 0o600))
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.mount).CombinedOutput(); err != nil {
		d.t.Fatalf("mount after a power cut: %v %s", err, out)
	}
}

func (d *disk) ran() {
	if dir := os.Getenv("POSTERN_TEST_RAN"); dir != "" && !d.t.Failed() {
		must(d.t, os.WriteFile(filepath.Join(dir, "power-cut"), nil, 0o600))
	}
}

// L-09: what was acknowledged survives a power cut, as far as the disk tells the truth: all
// that was not synced is gone, and the file system recovers by its journal.
func TestPowerCut(t *testing.T) {
	d := newDisk(t)
	k := newKiller(t, filepath.Join(d.mount, "data"), "")
	k.prepare()
	n := kills(t, 10)
	for range n {
		names := k.round("write", 0, sigkill)
		d.cut()
		k.use(func(db *sqldb.DB) { k.report(k.lost(db, names)) })
	}
	k.all()
	d.ran()
}

// The control: without fsync the same cut takes what was acknowledged.
func TestPowerCutControl(t *testing.T) {
	d := newDisk(t)
	k := newKiller(t, filepath.Join(d.mount, "data"), "")
	k.prepare()
	d.cut()
	for i := range 50 {
		names := k.round("unsynced", 0, sigkill)
		d.cut()
		db, err := sqldb.Open(t.Context(), k.opt)
		if err != nil {
			t.Logf("noticed in round %d: it does not even open: %v", i+1, err)
			return
		}
		lost := k.lost(db, names)
		must(t, db.Close())
		if len(lost) > 0 {
			t.Logf("noticed in round %d: %s", i+1, lost[0])
			return
		}
	}
	t.Error("fsync was off, the power was cut 50 times, and nothing was lost: this is no power cut")
}
