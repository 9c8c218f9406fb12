package service

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	vmsanv1 "vmsan/agent/gen/vmsan/v1"
	"vmsan/agent/internal/process"
)

type execStream = connect.BidiStream[vmsanv1.ExecRequest, vmsanv1.ExecResponse]

// Exec implements AgentService.
func (a *Agent) Exec(ctx context.Context, stream *execStream) error {
	select {
	case a.execs <- struct{}{}:
		defer func() { <-a.execs }()
	default:
		return connect.NewError(connect.CodeResourceExhausted, errTooMany)
	}
	first, err := stream.Receive()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("the first message must be start"))
	}
	running, err := a.start(start)
	var failed *process.StartError
	if errors.As(err, &failed) {
		return stream.Send(&vmsanv1.ExecResponse{Message: &vmsanv1.ExecResponse_Failed{
			Failed: &vmsanv1.ExecFailed{Code: failed.Code, Message: failed.Message},
		}})
	} else if err != nil {
		return connect.NewError(connect.CodeInternal, err)
	}
	e := &exec{stream: stream, process: running, ended: make(chan struct{})}
	return e.run(ctx)
}

var errTooMany = errors.New("too many commands run in the guest at once")

func (a *Agent) start(start *vmsanv1.ExecStart) (*process.Process, error) {
	user, err := process.SystemAccounts.Lookup(start.User)
	if err != nil {
		return nil, &process.StartError{Code: process.CodeFailed, Message: err.Error()}
	}
	cwd := start.Cwd
	if cwd == "" {
		cwd = user.Home
	}
	command := process.Command{Argv: start.Argv, Cwd: cwd, User: user, Stdin: start.Stdin}
	extra := start.Env
	if tty := start.Tty; tty != nil {
		command.Terminal = sizeOf(tty.Size)
		extra = append([]string{"TERM=" + cmp.Or(tty.Term, "xterm")}, extra...)
	}
	command.Env = process.Environment(user, extra)
	return a.Reaper.Start(command)
}

func sizeOf(size *vmsanv1.TerminalSize) *process.Size {
	return &process.Size{Rows: size.GetRows(), Columns: size.GetColumns()}
}

// exec is one running command and the stream that controls it.
type exec struct {
	stream  *execStream
	process *process.Process
	// Closed when the process has been reaped.
	ended chan struct{}

	sending sync.Mutex
}

func (e *exec) run(ctx context.Context) error {
	var pumps sync.WaitGroup
	e.send(&vmsanv1.ExecResponse{Message: &vmsanv1.ExecResponse_Started{
		Started: &vmsanv1.ExecStarted{Pid: uint32(e.process.Pid)},
	}})
	pumps.Add(1)
	go e.pump(&pumps, e.process.Stdout, func(chunk []byte) *vmsanv1.ExecResponse {
		return &vmsanv1.ExecResponse{Message: &vmsanv1.ExecResponse_Stdout{Stdout: chunk}}
	})
	if e.process.Stderr != nil {
		pumps.Add(1)
		go e.pump(&pumps, e.process.Stderr, func(chunk []byte) *vmsanv1.ExecResponse {
			return &vmsanv1.ExecResponse{Message: &vmsanv1.ExecResponse_Stderr{Stderr: chunk}}
		})
	}
	go e.control()

	// The end of the stream (the host left, or its connection did) ends the
	// process; control notices when the host only ends its own half.
	stopKilling := context.AfterFunc(ctx, func() { _ = e.process.Signal(unix.SIGKILL) })
	defer stopKilling()

	status := <-e.process.Ended()
	close(e.ended)
	pumps.Wait()
	return e.send(&vmsanv1.ExecResponse{Message: &vmsanv1.ExecResponse_Exited{Exited: exitOf(status)}})
}

func exitOf(status unix.WaitStatus) *vmsanv1.ExecExited {
	if status.Signaled() {
		signal := uint32(status.Signal())
		return &vmsanv1.ExecExited{Code: 128 + signal, Signal: signal}
	}
	return &vmsanv1.ExecExited{Code: uint32(status.ExitStatus())}
}

func (e *exec) pump(done *sync.WaitGroup, output *os.File, wrap func([]byte) *vmsanv1.ExecResponse) {
	defer done.Done()
	// A failed send means that the host left: the process is being killed.
	_ = process.Pump(output, e.ended, func(chunk []byte) error { return e.send(wrap(chunk)) })
}

func (e *exec) send(message *vmsanv1.ExecResponse) error {
	e.sending.Lock()
	defer e.sending.Unlock()
	return e.stream.Send(message)
}

// control hands on stdin and signals until the host's half of the stream
// ends, which kills the process group if it still runs.
func (e *exec) control() {
	defer func() { _ = e.process.Signal(unix.SIGKILL) }()
	input := make(chan []byte)
	go e.feed(input)
	closeInput := sync.OnceFunc(func() { close(input) })
	defer closeInput()
	open := e.process.Stdin != nil
	for {
		request, err := e.stream.Receive()
		if err != nil {
			return
		}
		switch message := request.Message.(type) {
		case *vmsanv1.ExecRequest_Stdin:
			if !open {
				continue
			}
			select {
			case input <- message.Stdin:
			case <-e.ended:
				return
			}
		case *vmsanv1.ExecRequest_StdinEnd:
			open = false
			closeInput()
		case *vmsanv1.ExecRequest_Signal:
			if message.Signal <= maxSignal {
				_ = e.process.Signal(unix.Signal(message.Signal))
			}
		case *vmsanv1.ExecRequest_Resize:
			e.process.Resize(*sizeOf(message.Resize))
		}
	}
}

// signal(7): real-time signals end at 64.
const maxSignal = 64

// feed writes stdin until it ends. What the process does not want to read is
// dropped.
func (e *exec) feed(input <-chan []byte) {
	stdin := e.process.Stdin
	if stdin == nil {
		for range input {
		}
		return
	}
	go func() {
		<-e.ended
		stdin.Close()
	}()
	broken := false
	for chunk := range input {
		if !broken {
			_, err := io.Writer(stdin).Write(chunk)
			broken = err != nil
		}
	}
	e.process.EndInput()
}
