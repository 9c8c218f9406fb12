package service

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	vmsanv1 "vmsan/agent/gen/vmsan/v1"
	"vmsan/agent/internal/process"
	"vmsan/agent/internal/tape"
)

const (
	// Ends that nobody has heard of are kept so long, so many, with at most so
	// many bytes of output together.
	keptFor   = 10 * time.Minute
	keptExecs = 32
	keptBytes = 16 << 20
	// Of an argv, in a list.
	shownBytes = 1 << 10
)

// execs are the processes that Exec has started: those that run, and the ends
// that nobody has heard of.
type execs struct {
	mu sync.Mutex
	// Those that can be attached to, the oldest first.
	known []*exec
	// How many run, known or being killed.
	running int
	// Of those known the ones that have ended and that nobody is attached to,
	// in the order in which they were left.
	kept []*exec
}

var errTooMany = errors.New("too many commands run in the guest at once")

// launch starts a process, with its caller attached. The error is a
// *process.StartError when the caller is to be told by an exit code.
func (all *execs) launch(reaper *process.Reaper, start *vmsanv1.ExecStart) (*attached, error) {
	all.mu.Lock()
	free := all.running < maxExecs
	if free {
		all.running++
	}
	all.mu.Unlock()
	if !free {
		return nil, connect.NewError(connect.CodeResourceExhausted, errTooMany)
	}
	started, err := startProcess(reaper, start)
	if err != nil {
		all.mu.Lock()
		all.running--
		all.mu.Unlock()
		return nil, err
	}
	e := newExec(started, start)
	reader, _, err := e.tape.Attach(0)
	if err != nil {
		return nil, err
	}
	all.mu.Lock()
	all.known = append(all.known, e)
	all.mu.Unlock()
	e.follow(func() { all.settle(e) })
	return &attached{exec: e, reader: reader}, nil
}

// attach finds a process that runs or whose end is kept. The error is the caller's.
func (all *execs) attach(wanted *vmsanv1.ExecAttach) (*attached, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	e, err := all.find(wanted.Id)
	if err != nil {
		return nil, err
	}
	switch {
	case wanted.Tty && !e.tty:
		return nil, refusal("%s has no terminal", e.id)
	case wanted.Stdin && e.process.Stdin == nil:
		return nil, refusal("%s has no stdin", e.id)
	}
	reader, lost, err := e.tape.Attach(wanted.Received)
	if err != nil {
		return nil, refusal("%s: %w", e.id, err)
	}
	all.kept = slices.DeleteFunc(all.kept, e.is)
	return &attached{exec: e, reader: reader, lost: lost}, nil
}

func refusal(format string, values ...any) error {
	return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf(format, values...))
}

func (all *execs) find(id string) (*exec, error) {
	if id != "" {
		if at := slices.IndexFunc(all.known, func(e *exec) bool { return e.id == id }); at >= 0 {
			return all.known[at], nil
		}
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("no command %s runs or is kept in the guest", id))
	}
	var left []*exec
	for _, e := range all.known {
		if !e.tape.Attached() {
			left = append(left, e)
		}
	}
	switch len(left) {
	case 0:
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no command in the guest waits for somebody to attach"))
	case 1:
		return left[0], nil
	default:
		return nil, refusal("%d commands in the guest wait for somebody to attach: which?", len(left))
	}
}

// leave ends an attachment. What is known may be attached to again.
func (all *execs) leave(a *attached) {
	a.reader.Leave()
	all.settle(a.exec)
}

// forget ends an attachment, and the command is not known any more.
func (all *execs) forget(a *attached) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.drop(a.exec)
	a.reader.Leave()
}

func (all *execs) drop(e *exec) {
	all.known = slices.DeleteFunc(all.known, e.is)
	all.kept = slices.DeleteFunc(all.kept, e.is)
}

// settle is called when a process has ended and when one was left: what is both
// is kept for a while.
func (all *execs) settle(e *exec) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if !e.isDone() {
		return
	}
	if !e.counted {
		e.counted = true
		all.running--
	}
	if e.tape.Attached() || !slices.Contains(all.known, e) || slices.Contains(all.kept, e) {
		return
	}
	all.kept = append(all.kept, e)
	bytes := 0
	for _, one := range all.kept {
		bytes += one.tape.Size()
	}
	for len(all.kept) > keptExecs || bytes > keptBytes {
		oldest := all.kept[0]
		bytes -= oldest.tape.Size()
		all.drop(oldest)
	}
	e.left = time.Now()
	time.AfterFunc(keptFor, all.expire)
}

func (all *execs) expire() {
	all.mu.Lock()
	defer all.mu.Unlock()
	for len(all.kept) > 0 && time.Since(all.kept[0].left) >= keptFor {
		all.drop(all.kept[0])
	}
}

func (all *execs) list() []*vmsanv1.ExecInfo {
	all.mu.Lock()
	defer all.mu.Unlock()
	infos := make([]*vmsanv1.ExecInfo, 0, len(all.known))
	for _, e := range all.known {
		info := &vmsanv1.ExecInfo{
			Id: e.id, Pid: uint32(e.process.Pid), Argv: beginning(e.argv),
			Stdin: e.process.Stdin != nil, Tty: e.tty, Attached: e.tape.Attached(),
		}
		if e.isDone() {
			info.Exited = e.exited
		}
		infos = append(infos, info)
	}
	return infos
}

// beginning is at most about shownBytes of an argv, for a list of many.
func beginning(argv []string) (shown []string) {
	left := shownBytes
	for _, word := range argv {
		if len(word) > left {
			return append(shown, strings.ToValidUTF8(word[:left], "")+"…")
		}
		left -= len(word) + 1
		shown = append(shown, word)
		if left <= 0 {
			return append(shown, "…")
		}
	}
	return shown
}

func newExec(started *process.Process, start *vmsanv1.ExecStart) *exec {
	var id [4]byte
	_, _ = rand.Read(id[:])
	return &exec{
		id: hex.EncodeToString(id[:]), argv: start.Argv, tty: start.Tty != nil,
		process: started, tape: tape.New(),
		input: make(chan []byte), ended: make(chan struct{}), done: make(chan struct{}),
	}
}
