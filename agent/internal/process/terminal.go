package process

import (
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Size of a terminal, in characters.
type Size struct{ Rows, Columns uint32 }

// The line discipline's end-of-file character (VEOF), as a terminal has it
// when nobody has changed it.
const endOfFile = 0x04

// openTerminal makes a terminal for a child: its three streams are the
// terminal, ours its master, once for output and once for input.
func openTerminal(size Size, user User, stdin bool) (*pipes, error) {
	p := &pipes{}
	if err := p.addTerminal(size, user, stdin); err != nil {
		p.closeChildEnds()
		p.closeOurEnds()
		return nil, err
	}
	return p, nil
}

func (p *pipes) addTerminal(size Size, user User, stdin bool) error {
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	master, err := unix.Open("/dev/ptmx", flags|unix.O_NONBLOCK, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	p.ours[1] = os.NewFile(uintptr(master), "terminal")
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return os.NewSyscallError("TIOCSPTLCK", err)
	}
	// ioctl_tty(2): opens the other end whatever /dev/pts is in this guest.
	child, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, flags)
	if errno != 0 {
		return os.NewSyscallError("TIOCGPTPEER", errno)
	}
	p.child = [3]uintptr{child, child, child}
	p.open = append(p.open, int(child))
	if err := resize(master, size); err != nil {
		return err
	}
	// The group stays tty, as devpts was mounted; the mode 0620.
	if err := unix.Fchown(int(child), int(user.UID), -1); err != nil {
		return os.NewSyscallError("fchown", err)
	}
	if !stdin {
		return nil
	}
	input, err := unix.FcntlInt(uintptr(master), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("dup", err)
	}
	p.ours[0] = os.NewFile(uintptr(input), "terminal input")
	return nil
}

func resize(fd int, size Size) error {
	err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{
		Row: uint16(min(size.Rows, math.MaxUint16)),
		Col: uint16(min(size.Columns, math.MaxUint16)),
	})
	return os.NewSyscallError("TIOCSWINSZ", err)
}

// Resize tells the process its terminal's new size (SIGWINCH). Without a
// terminal, or after its end, it does nothing.
func (p *Process) Resize(size Size) {
	if !p.terminal {
		return
	}
	if raw, err := p.Stdout.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = resize(int(fd), size) })
	}
}

// EndInput is the end of stdin: the process reads end of file.
func (p *Process) EndInput() {
	if p.Stdin == nil {
		return
	}
	if p.terminal {
		_, _ = p.Stdin.Write([]byte{endOfFile})
	}
	p.Stdin.Close()
}

// foregroundOf gives the process group in a terminal's foreground, 0 when
// there is none or the terminal is closed.
func foregroundOf(master *os.File) (group int) {
	raw, err := master.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		// Of a master the kernel tells the foreground of the other end.
		found, err := unix.IoctlGetInt(int(fd), unix.TIOCGPGRP)
		if err == nil {
			group = found
		}
	})
	return group
}
