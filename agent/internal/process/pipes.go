package process

import (
	"os"

	"golang.org/x/sys/unix"
)

// pipes are the standard streams of a child. Our ends are polled by the
// runtime (non-blocking); the child's must block, as every program expects,
// so they are plain descriptors.
type pipes struct {
	ours  [3]*os.File
	child [3]uintptr
	open  []int
}

func openPipes(stdin bool) (*pipes, error) {
	p := &pipes{}
	for i, name := range []string{"stdin", "stdout", "stderr"} {
		if err := p.add(i, name, stdin); err != nil {
			p.closeChildEnds()
			p.closeOurEnds()
			return nil, err
		}
	}
	return p, nil
}

func (p *pipes) add(i int, name string, stdin bool) error {
	if i == 0 && !stdin {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		p.child[0] = uintptr(fd)
		p.open = append(p.open, fd)
		return nil
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	ours, theirs := ends[0], ends[1]
	if i == 0 {
		ours, theirs = theirs, ours
	}
	p.child[i] = uintptr(theirs)
	p.open = append(p.open, theirs)
	if err := unix.SetNonblock(ours, true); err != nil {
		unix.Close(ours)
		return err
	}
	p.ours[i] = os.NewFile(uintptr(ours), name)
	return nil
}

func (p *pipes) closeChildEnds() {
	for _, fd := range p.open {
		unix.Close(fd)
	}
	p.open = nil
}

func (p *pipes) closeOurEnds() {
	for _, file := range p.ours {
		if file != nil {
			file.Close()
		}
	}
}
