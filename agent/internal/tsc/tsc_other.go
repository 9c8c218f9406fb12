//go:build !amd64

package tsc

import "errors"

// KHz is for x86 alone: other architectures say their counter's rate.
func KHz() (uint64, error) {
	return 0, errors.New("this architecture has no TSC")
}
