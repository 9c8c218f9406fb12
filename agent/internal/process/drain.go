package process

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	chunkSize = 64 << 10
	// How long after a process has ended its children may still add output to
	// the streams they inherited.
	afterEnd = 100 * time.Millisecond
	// pipe(7): the default capacity. What the process itself wrote before it
	// ended is in the pipe then, so it is never more.
	pipeCapacity = 64 << 10
)

// Pump hands everything read from output to emit until its end. After ended
// is closed it goes on for a short time only: a child that keeps the stream
// open must not keep the caller. No byte of the process itself is lost, however
// slow emit is. The chunk is valid during the call.
func Pump(output *os.File, ended <-chan struct{}, emit func(chunk []byte) error) error {
	defer output.Close()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-ended:
			_ = output.SetReadDeadline(time.Now().Add(afterEnd))
		case <-stop:
		}
	}()
	chunk := make([]byte, chunkSize)
	for {
		n, err := output.Read(chunk)
		if n > 0 {
			if err := emit(chunk[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return drain(output, chunk, emit)
		case errors.Is(err, io.EOF), errors.Is(err, unix.EIO):
			// EIO: nobody has the terminal open any more.
			return nil
		case err != nil:
			return err
		}
	}
}

// drain emits what is in the pipe now, without waiting for more.
func drain(output *os.File, chunk []byte, emit func(chunk []byte) error) error {
	raw, err := output.SyscallConn()
	if err != nil {
		return err
	}
	if err := output.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	for total := 0; total < pipeCapacity; {
		var n int
		err := raw.Read(func(fd uintptr) bool {
			n, _ = unix.Read(int(fd), chunk)
			return true
		})
		if err != nil || n <= 0 {
			return err
		}
		if err := emit(chunk[:n]); err != nil {
			return err
		}
		total += n
	}
	return nil
}
