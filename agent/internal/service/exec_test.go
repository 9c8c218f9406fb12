package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	vmsanv1 "vmsan/agent/gen/vmsan/v1"
	"vmsan/agent/gen/vmsan/v1/vmsanv1connect"
	"vmsan/agent/internal/process"
	"vmsan/agent/internal/tape"
)

// The test program's own reaper: it takes every child, as PID 1 does.
var reaper = process.NewReaper()

// losable is a connection that knows of its end, as the channel's do.
type losable struct {
	net.Conn
	lost atomic.Bool
}

func (c *losable) Lost() bool { return c.lost.Load() }

func (c *losable) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	if err != nil {
		c.lost.Store(true)
	}
	return n, err
}

type losableListener struct{ net.Listener }

func (l losableListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &losable{Conn: c}, err
}

// guest is an agent, and the way to connect to it.
type guest struct {
	t      *testing.T
	agent  *Agent
	socket string
}

func newGuest(t *testing.T) *guest {
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	g := &guest{t, &Agent{Reaper: reaper}, socket}
	go func() { _ = g.agent.Serve(losableListener{listener}) }()
	return g
}

// daemon is a host's connection to the agent.
type daemon struct {
	*guest
	client vmsanv1connect.AgentServiceClient
	// What a kill -9 does to it.
	die func()
}

func (g *guest) daemon() *daemon {
	g.t.Helper()
	connection, err := net.Dial("unix", g.socket)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { connection.Close() })
	transport := &http.Transport{
		Protocols: new(http.Protocols),
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return connection, nil
		},
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	client := vmsanv1connect.NewAgentServiceClient(&http.Client{Transport: transport}, "http://agent")
	return &daemon{g, client, func() { connection.Close() }}
}

// caller is one Exec.
type caller struct {
	t       *testing.T
	stream  *connect.BidiStreamForClient[vmsanv1.ExecRequest, vmsanv1.ExecResponse]
	started *vmsanv1.ExecStarted
	output  int
}

func (d *daemon) call(first *vmsanv1.ExecRequest) (*caller, error) {
	d.t.Helper()
	c := &caller{t: d.t, stream: d.client.Exec(d.t.Context())}
	if err := c.stream.Send(first); err != nil && !errors.Is(err, io.EOF) {
		d.t.Fatal(err)
	}
	answer, err := c.stream.Receive()
	c.started = answer.GetStarted()
	return c, err
}

func (d *daemon) run(stdin bool, script string) *caller {
	d.t.Helper()
	c, err := d.call(&vmsanv1.ExecRequest{Message: &vmsanv1.ExecRequest_Start{Start: &vmsanv1.ExecStart{
		Argv: []string{"sh", "-c", script}, User: strconv.Itoa(os.Geteuid()), Cwd: "/", Stdin: stdin,
	}}})
	if err != nil || c.started == nil {
		d.t.Fatal("it did not start: ", err)
	}
	return c
}

func (d *daemon) attach(wanted *vmsanv1.ExecAttach) (*caller, error) {
	return d.call(&vmsanv1.ExecRequest{Message: &vmsanv1.ExecRequest_Attach{Attach: wanted}})
}

// resume attaches again to what another caller had.
func (d *daemon) resume(before *caller, stdin bool) *caller {
	d.t.Helper()
	var c *caller
	d.eventually("the command can be attached to", func() (attached bool) {
		var err error
		c, err = d.attach(&vmsanv1.ExecAttach{
			Id: before.started.Id, Received: uint64(before.output), Stdin: stdin,
		})
		return err == nil
	})
	c.output = before.output
	return c
}

// leave resets the stream.
func (c *caller) leave() { _ = c.stream.CloseResponse() }

func (c *caller) say(stdin string) {
	c.t.Helper()
	if err := c.stream.Send(&vmsanv1.ExecRequest{
		Message: &vmsanv1.ExecRequest_Stdin{Stdin: []byte(stdin)},
	}); err != nil {
		c.t.Fatal(err)
	}
}

// hear receives output until it ends with `until`, or to the process's end.
func (c *caller) hear(until string) (text string, end *vmsanv1.ExecExited) {
	c.t.Helper()
	for until == "" || !strings.HasSuffix(text, until) {
		answer, err := c.stream.Receive()
		if err != nil {
			c.t.Fatalf("after %q: %v", text, err)
		}
		if end := answer.GetExited(); end != nil {
			_ = c.stream.CloseRequest()
			if _, err := c.stream.Receive(); !errors.Is(err, io.EOF) {
				c.t.Fatal("more after the end: ", err)
			}
			return text, end
		}
		chunk := append(answer.GetStdout(), answer.GetStderr()...)
		c.output += len(chunk)
		text += string(chunk)
	}
	return text, nil
}

func (d *daemon) execs() []*vmsanv1.ExecInfo {
	d.t.Helper()
	answer, err := d.client.ListExecs(d.t.Context(), connect.NewRequest(&vmsanv1.ListExecsRequest{}))
	if err != nil {
		d.t.Fatal(err)
	}
	return answer.Msg.Execs
}

// fifo gives something that a script can wait for: see write.
func (g *guest) fifo() string {
	path := filepath.Join(g.t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		g.t.Fatal(err)
	}
	return path
}

func (g *guest) write(fifo string) {
	if err := os.WriteFile(fifo, []byte("go on\n"), 0); err != nil {
		g.t.Fatal(err)
	}
}

func (g *guest) eventually(what string, condition func() bool) {
	g.t.Helper()
	deadline := time.After(20 * time.Second)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !condition() {
		select {
		case <-look.C:
		case <-deadline:
			g.t.Fatal("never: ", what)
		}
	}
}

func TestACommandOutlivesItsDaemonAndNoByteIsLostOrDoubled(t *testing.T) {
	g := newGuest(t)
	first := g.daemon()
	c := first.run(true, `n=0; while read line; do n=$((n+1)); echo "$n $line"; done; exit 7`)
	c.say("a\nb\n")
	c.hear("2 b\n")
	c.say("c\n")
	first.die()

	second := g.daemon()
	again := second.resume(c, true)
	if again.started.Pid != c.started.Pid || again.started.Lost != 0 {
		t.Fatal(again.started)
	}
	// The third line may have got lost with the first daemon; it says so.
	want, next := "3 ", "d\n"
	switch again.started.StdinGiven {
	case 4:
		want = "3 d\n"
	case 6:
		want = "3 c\n4 d\n"
	default:
		t.Fatal(again.started)
	}
	again.say(next)
	if text, _ := again.hear("d\n"); text != want {
		t.Fatalf("%q, want %q", text, want)
	}
	if err := again.stream.Send(&vmsanv1.ExecRequest{
		Message: &vmsanv1.ExecRequest_StdinEnd{StdinEnd: &vmsanv1.StdinEnd{}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, end := again.hear(""); end.Code != 7 {
		t.Fatal(end)
	}
	second.eventually("it is forgotten", func() bool { return len(second.execs()) == 0 })
	if _, err := second.attach(&vmsanv1.ExecAttach{Id: c.started.Id}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Fatal(err)
	}
}

func TestAnEndThatNobodyHeardOfIsKept(t *testing.T) {
	g := newGuest(t)
	first := g.daemon()
	goOn := g.fifo()
	c := first.run(true, `echo out; read line <`+goOn+`; echo more; exit 3`)
	c.hear("out\n")
	first.die()
	second := g.daemon()
	second.resume(c, true)
	second.die()
	third := g.daemon()
	g.write(goOn)
	third.eventually("it has ended", func() bool {
		infos := third.execs()
		return len(infos) == 1 && !infos[0].Attached && infos[0].Exited.GetCode() == 3
	})
	// Without an id: there is only one. And from the beginning.
	last, err := third.attach(&vmsanv1.ExecAttach{})
	if err != nil {
		t.Fatal(err)
	}
	if text, end := last.hear(""); text != "out\nmore\n" || end.Code != 3 {
		t.Fatalf("%q, %v", text, end)
	}
}

func TestWhatIsMoreThanTheTapeKeepsIsCounted(t *testing.T) {
	g := newGuest(t)
	first := g.daemon()
	goOn := g.fifo()
	c := first.run(false, `echo ready; read line <`+goOn+`; head -c 3000000 /dev/zero`)
	c.hear("ready\n")
	first.die()
	second := g.daemon()
	second.eventually("the first daemon is gone", func() bool { return !second.execs()[0].Attached })
	g.write(goOn)
	second.eventually("it has ended", func() bool { return second.execs()[0].Exited != nil })
	again := second.resume(c, false)
	if want := uint64(3000000 - tape.Kept); again.started.Lost != want {
		t.Fatalf("%d bytes lost, want %d", again.started.Lost, want)
	}
	if text, end := again.hear(""); len(text) != tape.Kept || end.Code != 0 {
		t.Fatal(len(text), end)
	}
}

func TestACallerWhoLeavesTakesTheProcessAlong(t *testing.T) {
	g := newGuest(t)
	d := g.daemon()
	c := d.run(false, `echo ready; exec sleep 1000`)
	c.hear("ready\n")
	c.leave()
	gone := fmt.Sprintf("/proc/%d", c.started.Pid)
	d.eventually("the process is gone", func() bool {
		_, err := os.Stat(gone)
		return errors.Is(err, os.ErrNotExist)
	})
	d.eventually("it is forgotten", func() bool { return len(d.execs()) == 0 })
}

func TestWhatCannotBeAttachedToIsRefusedAndGoesOn(t *testing.T) {
	g := newGuest(t)
	d := g.daemon()
	c := d.run(false, `echo ready; exec sleep 1000`)
	c.hear("ready\n")
	id := c.started.Id
	for want, wanted := range map[connect.Code][]*vmsanv1.ExecAttach{
		connect.CodeNotFound: {{Id: "0badcafe"}, {}},
		connect.CodeFailedPrecondition: {
			{Id: id}, {Id: id, Tty: true}, {Id: id, Stdin: true}, {Id: id, Received: 100},
		},
	} {
		for _, one := range wanted {
			if _, err := d.attach(one); connect.CodeOf(err) != want {
				t.Fatal(one, err)
			}
		}
	}
	if infos := d.execs(); len(infos) != 1 || !infos[0].Attached || infos[0].Exited != nil {
		t.Fatal(infos)
	}
	c.leave()
}

func TestALongArgvIsListedByItsBeginning(t *testing.T) {
	if got := beginning([]string{"sh", "-c", ""}); len(got) != 3 {
		t.Fatal(got)
	}
	long := strings.Repeat("é", 800)
	if got := beginning([]string{"a", long, "b"}); len(got) != 2 || got[1] != strings.Repeat("é", 511)+"…" {
		t.Fatal(got)
	}
	if got := beginning(make([]string, 5000)); len(got) != shownBytes+1 || got[shownBytes] != "…" {
		t.Fatal(len(got))
	}
}

func TestOnlySoManyEndsAreKept(t *testing.T) {
	var all execs
	for i := range keptExecs + 5 {
		e := &exec{id: fmt.Sprint(i), tape: tape.New(), done: make(chan struct{})}
		all.known = append(all.known, e)
		all.running++
		all.settle(e)
		if len(all.kept) != min(i, keptExecs) {
			t.Fatal("it runs and is kept as ended")
		}
		close(e.done)
		all.settle(e)
		all.settle(e)
	}
	if len(all.kept) != keptExecs || len(all.known) != keptExecs || all.running != 0 {
		t.Fatal(len(all.kept), len(all.known), all.running)
	}
	if _, err := all.find("4"); connect.CodeOf(err) != connect.CodeNotFound {
		t.Fatal("the oldest was kept")
	}
	for _, e := range all.kept[:30] {
		e.left = time.Now().Add(-keptFor)
	}
	all.expire()
	if len(all.kept) != keptExecs-30 || len(all.known) != keptExecs-30 {
		t.Fatal("what was left long ago is kept")
	}
	big := &exec{id: "big", tape: tape.New(), done: make(chan struct{})}
	for range keptBytes / tape.Kept {
		one := &exec{tape: tape.New(), done: make(chan struct{})}
		one.tape.Write(tape.Stdout, make([]byte, tape.Kept))
		all.known = append(all.known, one)
		close(one.done)
		all.settle(one)
	}
	big.tape.Write(tape.Stdout, []byte("x"))
	all.known = append(all.known, big)
	close(big.done)
	all.settle(big)
	if len(all.kept) != keptBytes/tape.Kept || all.kept[len(all.kept)-1] != big {
		t.Fatal(len(all.kept))
	}
}
