package probe

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Talk is a TCP conversation.
type Talk struct {
	Address    string `json:"address"`
	Port       uint16 `json:"port"`
	DeadlineMS int    `json:"deadlineMs"`
	Steps      []Step `json:"steps"`
}

// Step sends, then reads.
type Step struct {
	// Each in a segment of its own, as far as TCP lets us.
	Send [][]byte `json:"send,omitempty"`
	// Reads until there are so many bytes, or until the sequence Until.
	AtLeast int    `json:"atLeast,omitempty"`
	Until   []byte `json:"until,omitempty"`
	// What was read must hold this, or the conversation ends here.
	Must []byte `json:"must,omitempty"`
}

// Talked is what became of a conversation.
type Talked struct {
	// Ours; 0 when it never connected.
	LocalPort uint16 `json:"localPort"`
	// What each step has read.
	Read [][]byte `json:"read"`
	// "done", "must", "refused", "prohibited", "reset", "eof", "timeout", or an errno's words.
	End string `json:"end"`
}

func talk(t Talk) *Talked {
	talked := &Talked{Read: [][]byte{}}
	address, err := netip.ParseAddr(t.Address)
	if err != nil {
		talked.End = err.Error()
		return talked
	}
	deadline := time.Now().Add(bounded(t.DeadlineMS))
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.Dial("tcp", netip.AddrPortFrom(address, t.Port).String())
	if err != nil {
		talked.End = endOf(err)
		return talked
	}
	defer conn.Close()
	if local, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		talked.LocalPort = local.AddrPort().Port()
	}
	_ = conn.SetDeadline(deadline)
	talked.End = "done"
	for _, step := range t.Steps {
		read, err := step.take(conn)
		talked.Read = append(talked.Read, read)
		if err != nil {
			talked.End = endOf(err)
			break
		}
		if !bytes.Contains(read, step.Must) {
			talked.End = "must"
			break
		}
	}
	return talked
}

func (s Step) take(conn net.Conn) ([]byte, error) {
	read := []byte{}
	var sendError error
	for _, segment := range s.Send {
		if _, sendError = conn.Write(segment); sendError != nil {
			// The other side may have said why before it went.
			break
		}
	}
	buffer := make([]byte, 4096)
	for len(read) < maxReceived {
		enough := len(read) >= s.AtLeast && (len(s.Until) == 0 || bytes.Contains(read, s.Until))
		if enough && sendError == nil {
			return read, nil
		}
		n, err := conn.Read(buffer)
		read = append(read, buffer[:n]...)
		if err != nil {
			return read, err
		}
	}
	return read, nil
}

func endOf(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "eof"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return "timeout"
	case errors.Is(err, unix.ECONNREFUSED):
		return "refused"
	// ICMP's administratively prohibited (ip(7)).
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES):
		return "prohibited"
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return "reset"
	}
	var number unix.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}
