package machine

import (
	"time"

	"golang.org/x/sys/unix"
)

// How long killed processes get to be gone: they hold no CPU any more, but an
// exit can wait for the disk.
const killedDeadline = 5 * time.Second

// Children is what ending them needs to know.
type Children interface {
	// Empty gives a channel that is closed when none is left.
	Empty() <-chan struct{}
}

// EndProcesses asks every process but this one to end, and kills those that
// still run after the grace.
func EndProcesses(children Children, grace time.Duration) {
	for _, step := range []struct {
		signal unix.Signal
		wait   time.Duration
	}{{unix.SIGTERM, grace}, {unix.SIGKILL, killedDeadline}} {
		// ESRCH: there is no other process.
		if err := unix.Kill(-1, step.signal); err != nil {
			return
		}
		if awaitEmpty(children, step.wait) {
			return
		}
	}
}

func awaitEmpty(children Children, wait time.Duration) bool {
	timeout := time.After(wait)
	for {
		select {
		case <-children.Empty():
			return true
		case <-timeout:
			return false
		}
	}
}

// PowerOff ends the machine. It does not return.
func PowerOff() error {
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
