// Package process starts the guest's processes and owns every child of PID 1.
package process

import (
	"errors"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// Reaper is the only one that waits for children. PID 1 has to wait for any
// pid, and a second waiter (os/exec) would find its child already taken.
type Reaper struct {
	mu       sync.Mutex
	children map[int]chan unix.WaitStatus
	// Closed when no child is left, made anew by the next start.
	empty chan struct{}
}

// NewReaper starts reaping for the life of this process.
func NewReaper() *Reaper {
	r := &Reaper{children: map[int]chan unix.WaitStatus{}, empty: make(chan struct{})}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	go func() {
		for {
			r.reap()
			<-ended
		}
	}()
	return r
}

// start runs fork and registers the child it gives, so that its end cannot be
// reaped before it is known. The channel gives the wait status once.
func (r *Reaper) start(fork func() (pid int, err error)) (int, <-chan unix.WaitStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := fork()
	if err != nil {
		return 0, nil, err
	}
	status := make(chan unix.WaitStatus, 1)
	r.children[pid] = status
	select {
	case <-r.empty:
		r.empty = make(chan struct{})
	default:
	}
	return pid, status, nil
}

// signalGroup signals the process group that pid leads, if pid has not been
// reaped: until then its number belongs to nobody else. Another group of its session
// is signalled first; 0 is none.
func (r *Reaper) signalGroup(pid, another int, signal unix.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, alive := r.children[pid]; !alive {
		return nil
	}
	if another > 1 && another != pid {
		_ = unix.Kill(-another, signal)
	}
	err := unix.Kill(-pid, signal)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// Empty gives a channel that is closed when no child is left, adopted ones
// included.
func (r *Reaper) Empty() <-chan struct{} {
	r.reap()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.empty
}

func (r *Reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			select {
			case <-r.empty:
			default:
				close(r.empty)
			}
			return
		case err != nil || pid == 0:
			// Children, none of which has ended. One that was adopted since the
			// last look makes a closed channel stale.
			select {
			case <-r.empty:
				r.empty = make(chan struct{})
			default:
			}
			return
		}
		if ended, ours := r.children[pid]; ours {
			delete(r.children, pid)
			ended <- status
		}
	}
}
