package service

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	vmsanv1 "vmsan/agent/gen/vmsan/v1"
	"vmsan/agent/internal/tape"
)

const (
	chunkSize = 64 << 10
	// How long a caller that was told the end may take to say that it has it.
	farewell = 10 * time.Second
	// signal(7): real-time signals end at 64.
	maxSignal = 64
)

// attached is a process, and the caller who receives its output.
type attached struct {
	*exec
	reader *tape.Reader
	// Bytes of output that the caller missed.
	lost uint64
}

// attend serves a caller until it has heard the end, leaves, or its connection
// breaks. Who leaves takes the process along; a broken connection is the host's
// daemon that went away, and the process goes on.
func (all *execs) attend(ctx context.Context, stream *execStream, a *attached) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	heard := make(chan error, 1)
	go func() {
		err := a.control(ctx, stream)
		if errors.Is(err, io.EOF) {
			// Before the end of the process: the caller wants no more of it.
			a.kill()
		} else {
			cancel()
		}
		heard <- err
	}()
	sent := a.tell(ctx, stream)
	var left error
	select {
	case left = <-heard:
	case <-time.After(farewell):
		left = errNoFarewell
	}
	switch {
	case sent == nil && errors.Is(left, io.EOF):
		all.forget(a)
	case connectionLost(ctx) && left != errNoFarewell:
		all.leave(a)
	default:
		a.kill()
		all.forget(a)
	}
	return sent
}

var errNoFarewell = errors.New("the caller does not end its requests")

// tell sends the caller everything from `started` to the end.
func (a *attached) tell(ctx context.Context, stream *execStream) error {
	if err := stream.Send(&vmsanv1.ExecResponse{Message: &vmsanv1.ExecResponse_Started{
		Started: &vmsanv1.ExecStarted{
			Pid: uint32(a.process.Pid), Id: a.id, Lost: a.lost, StdinGiven: a.given,
		},
	}}); err != nil {
		return err
	}
	chunk := make([]byte, chunkSize)
	for {
		from, n, err := a.reader.Next(ctx, chunk)
		if errors.Is(err, io.EOF) {
			<-a.done
			return stream.Send(&vmsanv1.ExecResponse{
				Message: &vmsanv1.ExecResponse_Exited{Exited: a.exited},
			})
		} else if err != nil {
			return err
		}
		if err := stream.Send(outputOf(from, chunk[:n])); err != nil {
			return err
		}
	}
}

// control hands on stdin and signals until the caller's half of the stream
// ends: io.EOF when the caller ended it, another error when it broke.
func (a *attached) control(ctx context.Context, stream *execStream) error {
	for {
		request, err := stream.Receive()
		if err != nil {
			return err
		}
		switch message := request.Message.(type) {
		case *vmsanv1.ExecRequest_Stdin:
			a.give(ctx, message.Stdin)
		case *vmsanv1.ExecRequest_StdinEnd:
			if !a.inputEnded {
				a.inputEnded = true
				close(a.input)
			}
		case *vmsanv1.ExecRequest_Signal:
			if message.Signal <= maxSignal {
				_ = a.process.Signal(unix.Signal(message.Signal))
			}
		case *vmsanv1.ExecRequest_Resize:
			a.process.Resize(*sizeOf(message.Resize))
		}
	}
}

func (a *attached) give(ctx context.Context, chunk []byte) {
	if a.inputEnded || a.process.Stdin == nil {
		return
	}
	select {
	case a.input <- chunk:
		a.given += uint64(len(chunk))
	case <-a.ended:
	case <-ctx.Done():
	}
}

type connectionKey struct{}

// withConnection lets connectionLost look at the connection of a call.
func withConnection(ctx context.Context, connection net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, connection)
}

// connectionLost says whether the connection of a call is gone, not the call alone.
func connectionLost(ctx context.Context) bool {
	connection, known := ctx.Value(connectionKey{}).(interface{ Lost() bool })
	return known && connection.Lost()
}
