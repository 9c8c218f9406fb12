// Package boot turns a bare kernel into the guest: kernel file systems,
// modules, disks, and the root that every process sees.
package boot

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Where the disks are mounted in the initramfs. Nothing in the guest's root
// leads there: after Root they are reached only through Disk.
const (
	basePath = "/base"
	diskPath = "/disk"
	rootPath = "/root"
)

// Disk holds the VM's own disk, so that it can be synced and made read-only
// although no path of the guest's root leads to it.
type Disk struct {
	fd int
}

type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// What an initramfs needs before any module is loaded.
var early = []mount{
	{"proc", "/proc", "proc", safe, ""},
	{"sysfs", "/sys", "sysfs", safe, ""},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
}

// What a guest expects on top of that, mounted in the final root.
var late = []mount{
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
	{"shm", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	{"run", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", safe, ""},
}

// Root loads the modules, mounts base and disk, and makes their overlay the
// root of this process.
func Root() (*Disk, error) {
	if err := mountAll(early); err != nil {
		return nil, err
	}
	if err := loadModules("/modules"); err != nil {
		return nil, err
	}
	base, disk, err := findDisks()
	if err != nil {
		return nil, err
	}
	if err := mountAll([]mount{
		{base, basePath, "erofs", unix.MS_RDONLY | unix.MS_NODEV, ""},
		{disk, diskPath, "ext4", unix.MS_NODEV | unix.MS_NOATIME, ""},
	}); err != nil {
		return nil, err
	}
	held, err := unix.Open(diskPath, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", diskPath, err)
	}
	for _, dir := range []string{"upper", "work"} {
		if err := os.MkdirAll(diskPath+"/"+dir, 0o755); err != nil {
			return nil, err
		}
	}
	overlay := "lowerdir=" + basePath + ",upperdir=" + diskPath + "/upper,workdir=" + diskPath + "/work"
	if err := mountAll([]mount{{"vmsan", rootPath, "overlay", unix.MS_NOATIME, overlay}}); err != nil {
		return nil, err
	}
	if err := enter(rootPath); err != nil {
		return nil, err
	}
	if err := mountAll(late); err != nil {
		return nil, err
	}
	return &Disk{fd: held}, linkStandardStreams()
}

// enter makes dir, a mount, the root of this process. An initramfs cannot
// pivot_root (Documentation/filesystems/ramfs-rootfs-initramfs.rst): its root
// is moved over instead.
func enter(dir string) error {
	for _, m := range early {
		if err := os.MkdirAll(dir+m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.target, dir+m.target, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", m.target, err)
		}
	}
	if err := unix.Chdir(dir); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return unix.Chdir("/")
}

func mountAll(mounts []mount) error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.fstype, m.target, err)
		}
	}
	return nil
}

// linkStandardStreams makes the links that udev would (devtmpfs has none).
func linkStandardStreams() error {
	links := map[string]string{
		"/dev/fd":     "/proc/self/fd",
		"/dev/stdin":  "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1",
		"/dev/stderr": "/proc/self/fd/2",
	}
	for path, target := range links {
		if err := os.Symlink(target, path); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}

// Release writes everything to the disk and makes it read-only, which leaves
// its file system clean. Processes that hold files open for writing must be
// gone.
func (d *Disk) Release() error {
	unix.Sync()
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("remount /: %w", err)
	}
	// Its path is out of reach, but a mount is also named by an open file.
	hidden := fmt.Sprintf("/proc/self/fd/%d", d.fd)
	if err := unix.Mount("", hidden, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("remount disk: %w", err)
	}
	return nil
}
