package service

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	vmsanv1 "vmsan/agent/gen/vmsan/v1"
	"vmsan/agent/internal/process"
	"vmsan/agent/internal/tape"
)

// exec is a process that Exec has started, whoever is attached to it.
type exec struct {
	id   string
	argv []string
	tty  bool

	process *process.Process
	tape    *tape.Tape
	// Closed when the process has been reaped.
	ended chan struct{}
	// Closed when it has ended and all of its output is on the tape.
	done   chan struct{}
	exited *vmsanv1.ExecExited

	// To stdin. The three are of whoever is attached.
	input      chan []byte
	inputEnded bool
	given      uint64

	// Of execs: whether its end was counted, when it was left.
	counted bool
	left    time.Time
}

func (e *exec) is(other *exec) bool { return e == other }

// follow moves what the process writes to the tape, and calls ended when it is all there.
func (e *exec) follow(ended func()) {
	var pumps sync.WaitGroup
	pump := func(output *os.File, stream tape.Stream) {
		pumps.Add(1)
		go func() {
			defer pumps.Done()
			_ = process.Pump(output, e.ended, func(chunk []byte) error {
				e.tape.Write(stream, chunk)
				return nil
			})
		}()
	}
	pump(e.process.Stdout, tape.Stdout)
	if e.process.Stderr != nil {
		pump(e.process.Stderr, tape.Stderr)
	}
	if e.process.Stdin != nil {
		go e.feed()
	}
	go func() {
		status := <-e.process.Ended()
		close(e.ended)
		pumps.Wait()
		e.exited = exitOf(status)
		e.tape.Finish()
		close(e.done)
		ended()
	}()
}

func (e *exec) isDone() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

func (e *exec) kill() { _ = e.process.Signal(unix.SIGKILL) }

func exitOf(status unix.WaitStatus) *vmsanv1.ExecExited {
	if status.Signaled() {
		signal := uint32(status.Signal())
		return &vmsanv1.ExecExited{Code: 128 + signal, Signal: signal}
	}
	return &vmsanv1.ExecExited{Code: uint32(status.ExitStatus())}
}

// feed writes stdin until it ends. What the process does not want to read is
// dropped.
func (e *exec) feed() {
	stdin := e.process.Stdin
	go func() {
		<-e.ended
		stdin.Close()
	}()
	broken := false
	for {
		select {
		case chunk, more := <-e.input:
			if !more {
				e.process.EndInput()
				return
			}
			if !broken {
				_, err := stdin.Write(chunk)
				broken = err != nil
			}
		case <-e.ended:
			return
		}
	}
}
