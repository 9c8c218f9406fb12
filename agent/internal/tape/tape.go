// Package tape keeps what a process writes until somebody has read it, and
// the newest of it for a reader whose connection broke.
package tape

import (
	"context"
	"errors"
	"io"
	"sort"
	"sync"
)

// Stream is one of a process's two outputs.
type Stream uint8

// The outputs of a process; in a terminal all is Stdout.
const (
	Stdout Stream = iota + 1
	Stderr
)

const (
	// Kept is how many bytes of both streams together a tape keeps.
	Kept = 1 << 20
	// A writer waits when a reader is this far behind it.
	ahead = 128 << 10
	// How many changes from one stream to the other are kept: 1 MiB of them.
	maxRuns = 1 << 16
	// The first buffer; it doubles up to Kept.
	smallest = 4 << 10
)

// Errors of Attach.
var (
	ErrTaken    = errors.New("somebody else receives its output")
	ErrPosition = errors.New("it has not written that much yet")
)

// Tape is the output of one process as one sequence of bytes, each of one
// stream, counted from 0. While somebody reads, the writer waits for them.
// While nobody does it never waits, and only the newest bytes are kept.
type Tape struct {
	mu      sync.Mutex
	changed *sync.Cond

	// Byte n of the sequence is at n % len(buffer), if start <= n < end.
	buffer     []byte
	start, end uint64
	// Of one stream each, the oldest first; the first ends after start.
	runs []run

	reader   *Reader
	finished bool
}

type run struct {
	end    uint64
	stream Stream
}

// New gives an empty tape that nobody reads.
func New() *Tape {
	t := &Tape{}
	t.changed = sync.NewCond(&t.mu)
	return t
}

// Write appends to the tape, waiting while its reader is behind.
func (t *Tape) Write(stream Stream, data []byte) {
	for len(data) > 0 {
		part := data[:min(len(data), ahead)]
		t.append(stream, part)
		data = data[len(part):]
	}
}

func (t *Tape) append(stream Stream, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.reader != nil && t.mustWait(t.reader.at) {
		t.changed.Wait()
	}
	t.makeRoom(uint64(len(data)))
	for len(data) > 0 {
		n := copy(t.buffer[t.end%uint64(len(t.buffer)):], data)
		data = data[n:]
		t.end += uint64(n)
	}
	if last := len(t.runs) - 1; last >= 0 && t.runs[last].stream == stream {
		t.runs[last].end = t.end
	} else {
		t.runs = append(t.runs, run{t.end, stream})
	}
	if len(t.runs) > maxRuns {
		t.forget(t.runs[0].end)
	}
	t.changed.Broadcast()
}

// mustWait says whether a reader that has come to `at` would miss something.
func (t *Tape) mustWait(at uint64) bool {
	return t.end-at >= ahead || len(t.runs) == maxRuns && t.runs[0].end > at
}

// makeRoom makes the buffer large enough for n more bytes, or forgets the
// oldest when it may not be larger.
func (t *Tape) makeRoom(n uint64) {
	size := uint64(len(t.buffer))
	wanted := max(size, smallest)
	for wanted < t.end-t.start+n && wanted < Kept {
		wanted *= 2
	}
	if wanted != size {
		larger := make([]byte, wanted)
		for at := t.start; at < t.end; {
			n := copy(larger[at%wanted:], t.kept(at, t.end))
			at += uint64(n)
		}
		t.buffer = larger
	}
	if t.end+n > t.start+wanted {
		t.forget(t.end + n - wanted)
	}
}

// kept gives bytes from at on: up to before, or to the end of the buffer.
func (t *Tape) kept(at, before uint64) []byte {
	size := uint64(len(t.buffer))
	from := at % size
	return t.buffer[from:min(size, from+before-at)]
}

func (t *Tape) forget(before uint64) {
	t.start = before
	for len(t.runs) > 0 && t.runs[0].end <= before {
		t.runs = t.runs[1:]
	}
}

// Finish says that nothing more will be written.
func (t *Tape) Finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.finished = true
	t.changed.Broadcast()
}

// Size is how much memory the tape's bytes take.
func (t *Tape) Size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.buffer)
}

// Attached says whether somebody reads.
func (t *Tape) Attached() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reader != nil
}

// Attach gives a reader of what follows the first `received` bytes, and how
// many bytes of that are no longer kept. There is one reader at a time.
func (t *Tape) Attach(received uint64) (reader *Reader, lost uint64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.reader != nil:
		return nil, 0, ErrTaken
	case received > t.end:
		return nil, 0, ErrPosition
	}
	at := max(received, t.start)
	t.reader = &Reader{tape: t, at: at}
	return t.reader, at - received, nil
}

// Reader reads a tape; see Attach.
type Reader struct {
	tape *Tape
	at   uint64
}

// Next waits for output, copies some of one stream to into, and gives how much.
// The error is io.EOF after the last byte of a finished tape, or the context's.
func (r *Reader) Next(ctx context.Context, into []byte) (Stream, int, error) {
	t := r.tape
	stop := context.AfterFunc(ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.changed.Broadcast()
	})
	defer stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	for r.at == t.end {
		switch {
		case ctx.Err() != nil:
			return 0, 0, ctx.Err()
		case t.finished:
			return 0, 0, io.EOF
		}
		t.changed.Wait()
	}
	of := t.runs[sort.Search(len(t.runs), func(i int) bool { return t.runs[i].end > r.at })]
	n := copy(into, t.kept(r.at, of.end))
	r.at += uint64(n)
	t.changed.Broadcast()
	return of.stream, n, nil
}

// Leave ends the reading; the writer no longer waits.
func (r *Reader) Leave() {
	t := r.tape
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reader == r {
		t.reader = nil
		t.changed.Broadcast()
	}
}
