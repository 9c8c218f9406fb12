// Package channel turns a virtio-serial port into a listener of HTTP/2
// connections, one at a time, that survives hosts coming and going.
package channel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const inputSize = 64 << 10

// Port is the guest's end of the control channel. It is a net.Listener: each
// host's hello gives one connection, and the next is accepted when that one
// has been closed.
type Port struct {
	file *os.File
	raw  syscall.RawConn

	// Read from the port and not yet consumed: input[start:end].
	input      [inputSize]byte
	start, end int

	current atomic.Pointer[Session]
}

var _ net.Listener = (*Port)(nil)

// Open opens the port's device node.
func Open(path string) (*Port, error) {
	// The runtime polls the file edge-triggered. That matters: while no host is
	// connected the port reports a hang-up without end.
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return newPort(file)
}

func newPort(file *os.File) (*Port, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &Port{file: file, raw: raw}, nil
}

// Accept waits for the end of the current session and then for the next
// host's hello, and answers it.
func (p *Port) Accept() (net.Conn, error) {
	if current := p.current.Load(); current != nil {
		<-current.Done()
	}
	if err := p.file.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	for {
		line, consumed := scanHello(p.input[p.start:p.end])
		p.start += consumed
		if line != nil {
			session := &Session{port: p, done: make(chan struct{})}
			if _, err := session.Write(line); err != nil {
				return nil, fmt.Errorf("answer hello: %w", err)
			}
			p.current.Store(session)
			return session, nil
		}
		if err := p.fill(true); err != nil {
			return nil, err
		}
	}
}

// AwaitHangUp waits for the end of the current session, but not for ever.
func (p *Port) AwaitHangUp(deadline time.Duration) {
	if current := p.current.Load(); current != nil {
		select {
		case <-current.Done():
		case <-time.After(deadline):
		}
	}
}

// Close is not needed: the port lives as long as the guest.
func (p *Port) Close() error { return nil }

// Addr names the port for logs.
func (p *Port) Addr() net.Addr { return address(p.file.Name()) }

var errHangUp = errors.New("the host hung up")

// fill waits for input and appends it. While the host is not connected it
// waits for one (patient), or gives errHangUp.
func (p *Port) fill(patient bool) error {
	if p.start == p.end {
		p.start, p.end = 0, 0
	} else if p.end == inputSize {
		p.end = copy(p.input[:], p.input[p.start:p.end])
		p.start = 0
	}
	var result error
	err := p.raw.Read(func(fd uintptr) (done bool) {
		n, err := readOnce(int(fd), p.input[p.end:])
		switch {
		case errors.Is(err, syscall.EAGAIN):
			return false
		case err != nil:
			result = err
		case n == 0 && patient:
			return false
		case n == 0:
			result = errHangUp
		default:
			p.end += n
		}
		return true
	})
	return errors.Join(err, result)
}

func readOnce(fd int, into []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, into)
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// Session is the connection of one host.
type Session struct {
	port   *Port
	frames frames

	reading, writing sync.Mutex
	closing          sync.Once
	done             chan struct{}
	lost             atomic.Bool
}

var _ net.Conn = (*Session)(nil)

// Done is closed when the session has ended and none of its readers and
// writers touches the port any more.
func (s *Session) Done() <-chan struct{} { return s.done }

// Lost says whether the connection is gone: then every call of it ends for that
// reason, and not because its caller left. It is known before the calls end.
func (s *Session) Lost() bool { return s.lost.Load() }

// Read gives io.EOF semantics through an error: any error ends the session.
func (s *Session) Read(into []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.closed() {
		return 0, net.ErrClosed
	}
	p := s.port
	if p.start == p.end {
		if err := p.fill(false); err != nil {
			s.lost.Store(true)
			return 0, err
		}
	}
	n := min(len(into), p.end-p.start)
	mine := s.frames.take(p.input[p.start : p.start+n])
	if mine == 0 && n > 0 {
		s.lost.Store(true)
		return 0, errHangUp
	}
	copy(into, p.input[p.start:p.start+mine])
	p.start += mine
	return mine, nil
}

func (s *Session) Write(data []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed() {
		return 0, net.ErrClosed
	}
	n, err := s.port.file.Write(data)
	if err != nil {
		s.lost.Store(true)
	}
	return n, err
}

// Close ends the session: blocked readers and writers return, and when it
// returns none is left. The port stays open for the next host.
func (s *Session) Close() error {
	s.closing.Do(func() {
		s.lost.Store(true)
		// A deadline in the past wakes whoever waits for the port.
		_ = s.port.file.SetDeadline(time.Unix(1, 0))
		s.reading.Lock()
		s.writing.Lock()
		close(s.done)
		s.writing.Unlock()
		s.reading.Unlock()
	})
	return nil
}

func (s *Session) closed() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *Session) LocalAddr() net.Addr  { return s.port.Addr() }
func (s *Session) RemoteAddr() net.Addr { return address("host") }

// Deadlines are the port's own business: Close uses them, and a late call by
// the HTTP server must not undo that.
func (s *Session) SetDeadline(time.Time) error      { return nil }
func (s *Session) SetReadDeadline(time.Time) error  { return nil }
func (s *Session) SetWriteDeadline(time.Time) error { return nil }

type address string

func (a address) Network() string { return "virtio-serial" }
func (a address) String() string  { return string(a) }
