// Package tsc measures the time-stamp counter of the machine it runs on. The
// host needs it: an emulated guest counts the host's TSC, and finding out its
// rate by itself fails on a busy host.
package tsc

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// The error of a sample is well below 1 us, so this gives a few parts per
// million, less than a crystal's own drift.
const interval = 100 * time.Millisecond

// KHz measures the counter's rate in kHz.
func KHz() (uint64, error) {
	start, err := bestOf(20)
	if err != nil {
		return 0, err
	}
	time.Sleep(interval)
	end, err := bestOf(20)
	if err != nil {
		return 0, err
	}
	if end.ns <= start.ns || end.ticks <= start.ticks {
		return 0, fmt.Errorf("the TSC does not count: %d to %d", start.ticks, end.ticks)
	}
	ns := uint64(end.ns - start.ns)
	return ((end.ticks-start.ticks)*1_000_000 + ns/2) / ns, nil
}

type sample struct {
	ticks, width uint64
	ns           int64
}

// bestOf reads counter and clock together several times and keeps the reading
// that was interrupted least.
func bestOf(tries int) (best sample, err error) {
	for i := range tries {
		var now unix.Timespec
		before := read()
		// RAW: not slewed by NTP.
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &now); err != nil {
			return sample{}, err
		}
		after := read()
		if width := after - before; i == 0 || width < best.width {
			best = sample{ticks: before + width/2, width: width, ns: now.Nano()}
		}
	}
	return best, nil
}

func read() uint64
