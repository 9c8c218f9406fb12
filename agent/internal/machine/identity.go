package machine

import (
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SetHostname names the guest, for the kernel and in /etc/hosts. Without an
// address the name leads to the loopback, as Debian's installer does it.
func SetHostname(name, address string) error {
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("hostname %q: %w", name, err)
	}
	if address == "" {
		address = "127.0.1.1"
	}
	if err := os.WriteFile("/etc/hostname", []byte(name+"\n"), 0o644); err != nil {
		return err
	}
	hosts := "127.0.0.1\tlocalhost\n" +
		"::1\tlocalhost ip6-localhost ip6-loopback\n" +
		address + "\t" + name + "\n"
	return os.WriteFile("/etc/hosts", []byte(hosts), 0o644)
}

// SetNameservers writes /etc/resolv.conf.
func SetNameservers(addresses []string) error {
	var text strings.Builder
	for _, address := range addresses {
		text.WriteString("nameserver " + address + "\n")
	}
	return os.WriteFile("/etc/resolv.conf", []byte(text.String()), 0o644)
}

// SetClock sets the wall clock.
func SetClock(now time.Time) error {
	spec := unix.NsecToTimespec(now.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &spec); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	return nil
}

// random(4): struct rand_pool_info, whose bytes follow the two counts.
const maxEntropy = 512

type entropyPool struct {
	bits, size int32
	bytes      [maxEntropy]byte
}

// AddEntropy credits secret random bytes to the kernel's pool and makes it use
// them at once.
func AddEntropy(bytes []byte) error {
	if len(bytes) > maxEntropy {
		return fmt.Errorf("entropy: at most %d bytes, not %d", maxEntropy, len(bytes))
	}
	random, err := unix.Open("/dev/urandom", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(random)
	pool := entropyPool{bits: int32(len(bytes) * 8), size: int32(len(bytes))}
	copy(pool.bytes[:], bytes)
	if err := ioctl(random, unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&pool))); err != nil {
		return fmt.Errorf("entropy: %w", err)
	}
	if err := ioctl(random, unix.RNDRESEEDCRNG, 0); err != nil {
		return fmt.Errorf("reseed: %w", err)
	}
	return nil
}

func ioctl(fd int, request uint, argument uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), argument); errno != 0 {
		return errno
	}
	return nil
}

// RaiseFileLimit gives the guest's processes systemd's limits of open files
// instead of the kernel's: databases and the like raise theirs up to the second.
func RaiseFileLimit() error {
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: 524288})
}
