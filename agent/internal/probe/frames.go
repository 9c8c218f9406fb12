package probe

import (
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Frames sends Ethernet frames as they are, and listens meanwhile and after.
type Frames struct {
	Link string   `json:"link"`
	Send [][]byte `json:"send"`
	// How long it listens after the last one.
	ListenMS int `json:"listenMs"`
}

// Heard is what came in on the link, from the first frame on.
type Heard struct {
	// How many frames the kernel took.
	Sent     int      `json:"sent"`
	Received [][]byte `json:"received"`
}

// The beginning of each frame is kept: enough for a header in an ICMP error,
// and for a DNS answer.
const keptOfFrame = 576

// One after the other with a breath between, so that no queue on the way is full.
const pause = 2 * time.Millisecond

func frames(f Frames) (*Heard, error) {
	link, err := net.InterfaceByName(f.Link)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Link, err)
	}
	all := htons(unix.ETH_P_ALL)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	defer unix.Close(fd)
	address := &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}
	if err := unix.Bind(fd, address); err != nil {
		return nil, fmt.Errorf("bind to %s: %w", f.Link, err)
	}
	heard := &Heard{Received: [][]byte{}}
	for _, frame := range f.Send {
		// One that the kernel refuses is not sent, and the host sees that it is not.
		if unix.Sendto(fd, frame, 0, address) == nil {
			heard.Sent++
		}
		heard.listen(fd, pause)
	}
	heard.listen(fd, bounded(f.ListenMS))
	return heard, nil
}

func (h *Heard) listen(fd int, patience time.Duration) {
	buffer := make([]byte, keptOfFrame)
	for end := time.Now().Add(patience); len(h.Received) < maxFrames; {
		left := time.Until(end)
		if left <= 0 {
			return
		}
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		milliseconds := max(1, int(left/time.Millisecond))
		if n, err := unix.Poll(ready, milliseconds); n == 0 || err != nil {
			if err == unix.EINTR {
				continue
			}
			return
		}
		n, from, err := unix.Recvfrom(fd, buffer, unix.MSG_DONTWAIT)
		if err != nil {
			continue
		}
		if link, ok := from.(*unix.SockaddrLinklayer); ok && link.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		h.Received = append(h.Received, append([]byte(nil), buffer[:n]...))
	}
}

func htons(value uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, value))
}
