package service

import (
	"cmp"
	"context"
	"errors"

	"connectrpc.com/connect"

	vmsanv1 "vmsan/agent/gen/vmsan/v1"
	"vmsan/agent/internal/process"
	"vmsan/agent/internal/tape"
)

type execStream = connect.BidiStream[vmsanv1.ExecRequest, vmsanv1.ExecResponse]

// Exec implements AgentService.
func (a *Agent) Exec(ctx context.Context, stream *execStream) error {
	first, err := stream.Receive()
	if err != nil {
		return err
	}
	switch message := first.Message.(type) {
	case *vmsanv1.ExecRequest_Start:
		e, err := a.execs.launch(a.Reaper, message.Start)
		var failed *process.StartError
		if errors.As(err, &failed) {
			return stream.Send(&vmsanv1.ExecResponse{Message: &vmsanv1.ExecResponse_Failed{
				Failed: &vmsanv1.ExecFailed{Code: failed.Code, Message: failed.Message},
			}})
		} else if err != nil {
			return err
		}
		return a.execs.attend(ctx, stream, e)
	case *vmsanv1.ExecRequest_Attach:
		e, err := a.execs.attach(message.Attach)
		if err != nil {
			return err
		}
		return a.execs.attend(ctx, stream, e)
	default:
		return connect.NewError(connect.CodeInvalidArgument, errors.New("the first message must be start or attach"))
	}
}

// ListExecs implements AgentService.
func (a *Agent) ListExecs(
	_ context.Context, _ *connect.Request[vmsanv1.ListExecsRequest],
) (*connect.Response[vmsanv1.ListExecsResponse], error) {
	return connect.NewResponse(&vmsanv1.ListExecsResponse{Execs: a.execs.list()}), nil
}

func startProcess(reaper *process.Reaper, start *vmsanv1.ExecStart) (*process.Process, error) {
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
	return reaper.Start(command)
}

func sizeOf(size *vmsanv1.TerminalSize) *process.Size {
	return &process.Size{Rows: size.GetRows(), Columns: size.GetColumns()}
}

func outputOf(stream tape.Stream, chunk []byte) *vmsanv1.ExecResponse {
	if stream == tape.Stderr {
		return &vmsanv1.ExecResponse{Message: &vmsanv1.ExecResponse_Stderr{Stderr: chunk}}
	}
	return &vmsanv1.ExecResponse{Message: &vmsanv1.ExecResponse_Stdout{Stdout: chunk}}
}
