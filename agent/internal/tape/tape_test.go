package tape

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

type piece struct {
	stream Stream
	data   string
}

// readAll reads to the end of a finished tape, neighbours of one stream joined.
func readAll(t *testing.T, r *Reader) (all []piece) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	into := make([]byte, 1000)
	for {
		stream, n, err := r.Next(ctx, into)
		if errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if last := len(all) - 1; last >= 0 && all[last].stream == stream {
			all[last].data += string(into[:n])
		} else {
			all = append(all, piece{stream, string(into[:n])})
		}
	}
}

func attach(t *testing.T, tape *Tape, received uint64) (*Reader, uint64) {
	t.Helper()
	r, lost, err := tape.Attach(received)
	if err != nil {
		t.Fatal(err)
	}
	return r, lost
}

func same(t *testing.T, got, want []piece) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d pieces, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("piece %d is %d bytes of %d, want %d of %d", i,
				len(got[i].data), got[i].stream, len(want[i].data), want[i].stream)
		}
	}
}

func TestWhoComesLateHasItAllInOrder(t *testing.T) {
	tape := New()
	tape.Write(Stdout, []byte("one "))
	tape.Write(Stdout, []byte("two\n"))
	tape.Write(Stderr, []byte("oops\n"))
	tape.Write(Stdout, []byte("three\n"))
	tape.Finish()
	r, lost := attach(t, tape, 0)
	if lost != 0 {
		t.Fatalf("%d bytes lost", lost)
	}
	same(t, readAll(t, r), []piece{{Stdout, "one two\n"}, {Stderr, "oops\n"}, {Stdout, "three\n"}})
	r.Leave()
	r, _ = attach(t, tape, 10)
	same(t, readAll(t, r), []piece{{Stderr, "ps\n"}, {Stdout, "three\n"}})
}

func TestTheNewestIsKeptAndWhatIsLostIsCounted(t *testing.T) {
	tape := New()
	all := make([]byte, 3*Kept+12345)
	for i := range all {
		all[i] = byte(rand.Uint32())
	}
	for at := 0; at < len(all); at += 7777 {
		tape.Write(Stdout, all[at:min(len(all), at+7777)])
	}
	tape.Finish()
	r, lost := attach(t, tape, 1000)
	if want := uint64(len(all) - Kept - 1000); lost != want {
		t.Fatalf("%d bytes lost, want %d", lost, want)
	}
	same(t, readAll(t, r), []piece{{Stdout, string(all[len(all)-Kept:])}})
	if tape.Size() != Kept {
		t.Fatalf("it takes %d bytes", tape.Size())
	}
}

func TestWritingWaitsForAReaderAndForNobodyElse(t *testing.T) {
	tape := New()
	r, _ := attach(t, tape, 0)
	written := make(chan struct{})
	go func() {
		defer close(written)
		tape.Write(Stdout, bytes.Repeat([]byte("x"), 2*Kept))
		tape.Finish()
	}()
	into := make([]byte, 100)
	if _, n, err := r.Next(t.Context(), into); n != 100 || err != nil {
		t.Fatal(n, err)
	}
	select {
	case <-written:
		t.Fatal("it did not wait")
	default:
	}
	r.Leave()
	<-written
	r, lost := attach(t, tape, 100)
	if lost != Kept-100 {
		t.Fatalf("%d bytes lost", lost)
	}
	if got := readAll(t, r); len(got) != 1 || len(got[0].data) != Kept {
		t.Fatal("the rest is not all there")
	}
}

func TestAReaderMissesNothingHoweverSmallThePieces(t *testing.T) {
	tape := New()
	r, _ := attach(t, tape, 0)
	const pairs = maxRuns
	go func() {
		for range pairs {
			tape.Write(Stdout, []byte("o"))
			tape.Write(Stderr, []byte("e"))
		}
		tape.Finish()
	}()
	got := readAll(t, r)
	if len(got) != 2*pairs {
		t.Fatalf("%d pieces, want %d", len(got), 2*pairs)
	}
	r.Leave()
	// Kept later is only so much of them.
	r, lost := attach(t, tape, 0)
	if rest := readAll(t, r); len(rest) != maxRuns || lost != 2*pairs-maxRuns {
		t.Fatalf("%d pieces are kept, %d bytes lost", len(rest), lost)
	}
}

func TestOneReaderAtATimeAndNoneFromTheFuture(t *testing.T) {
	tape := New()
	tape.Write(Stdout, []byte("12345"))
	if _, _, err := tape.Attach(6); !errors.Is(err, ErrPosition) {
		t.Fatal(err)
	}
	r, _ := attach(t, tape, 5)
	if _, _, err := tape.Attach(0); !errors.Is(err, ErrTaken) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Next(ctx, make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r.Leave()
	attach(t, tape, 0)
}
