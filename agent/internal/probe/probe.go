// Package probe sends what it is told to and says what came back: bytes on
// TCP connections, frames on a link. `vmsan audit` runs it in the guest, as
// `/proc/1/exe probe`, so that an audit needs no program of the guest's. It
// knows no policy; src/audit/probe.ts is its other side.
package probe

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// What one run may ask for, and what it keeps of what comes in.
const (
	maxLine     = 4 << 20
	maxRequests = 256
	maxTime     = 60 * time.Second
	maxFrames   = 2048
	maxReceived = 64 << 10
)

// Request is one line of input: exactly one of Talk and Frames is set.
type Request struct {
	ID     int     `json:"id"`
	Talk   *Talk   `json:"talk,omitempty"`
	Frames *Frames `json:"frames,omitempty"`
}

// Answer is one line of output. Bytes are base64 in JSON.
type Answer struct {
	ID int `json:"id"`
	// Why it could not be done at all; what the network says is no error.
	Error  string  `json:"error,omitempty"`
	Talk   *Talked `json:"talk,omitempty"`
	Frames *Heard  `json:"frames,omitempty"`
}

// Run reads requests until the end of in, does all at the same time, and
// writes each answer when it is there.
func Run(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	encoder := json.NewEncoder(out)
	var mu sync.Mutex
	var all sync.WaitGroup
	for count := 0; lines.Scan(); count++ {
		if count == maxRequests {
			return fmt.Errorf("more than %d requests", maxRequests)
		}
		var request Request
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			return fmt.Errorf("request %d: %w", count+1, err)
		}
		all.Add(1)
		go func() {
			defer all.Done()
			answer := do(request)
			mu.Lock()
			defer mu.Unlock()
			// An error means that nobody reads any more.
			_ = encoder.Encode(answer)
		}()
	}
	all.Wait()
	return lines.Err()
}

func do(request Request) Answer {
	answer := Answer{ID: request.ID}
	var err error
	switch {
	case request.Talk != nil:
		answer.Talk = talk(*request.Talk)
	case request.Frames != nil:
		answer.Frames, err = frames(*request.Frames)
	default:
		err = fmt.Errorf("neither talk nor frames")
	}
	if err != nil {
		answer.Error = err.Error()
	}
	return answer
}

func bounded(ms int) time.Duration {
	return min(time.Duration(max(ms, 0))*time.Millisecond, maxTime)
}
