package process

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func terminal(argv ...string) Command {
	c := command(argv...)
	c.Stdin = true
	c.Terminal = &Size{Rows: 31, Columns: 97}
	return c
}

// expect reads lines until one ends with text.
func expect(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	for lines.Scan() {
		if strings.HasSuffix(lines.Text(), text) {
			return
		}
	}
	t.Fatalf("no line %q", text)
}

func TestATerminalIsTheProcesssOwn(t *testing.T) {
	p := start(t, terminal("sh", "-c",
		`stty size; test -t 0 && test -t 1 && test -t 2 && : </dev/tty && stat -c %u "$(tty)"; exit 3`))
	if p.Stderr != nil {
		t.Error("a stream beside the terminal")
	}
	var out strings.Builder
	ended := make(chan struct{})
	pumped := make(chan error)
	go func() {
		pumped <- Pump(p.Stdout, ended, func(chunk []byte) error { out.Write(chunk); return nil })
	}()
	end := status(t, p)
	close(ended)
	if err := <-pumped; err != nil {
		t.Error(err)
	}
	want := "31 97\r\n" + strconv.Itoa(int(me().UID)) + "\r\n"
	if out.String() != want || end.ExitStatus() != 3 {
		t.Errorf("got %q, %d; want %q", out.String(), end.ExitStatus(), want)
	}
}

func TestResizeIsNoticed(t *testing.T) {
	p := start(t, terminal("sh", "-c", `trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done`))
	lines := bufio.NewScanner(p.Stdout)
	expect(t, lines, "ready")
	p.Resize(Size{Rows: 12, Columns: 70_000})
	expect(t, lines, "12 65535")
	status(t, p)
	p.Stdout.Close()
	p.Resize(Size{Rows: 1, Columns: 1})
}

func TestControlCAndEndOfInputAreTheLineDisciplines(t *testing.T) {
	p := start(t, terminal("sh", "-c", `trap 'echo caught; cat; echo done; exit' INT; echo ready; while :; do sleep 0.05; done`))
	lines := bufio.NewScanner(p.Stdout)
	expect(t, lines, "ready")
	_, _ = io.WriteString(p.Stdin, "\x03")
	expect(t, lines, "caught")
	p.EndInput()
	expect(t, lines, "done")
	status(t, p)
}

func TestASignalReachesTheJobInTheForeground(t *testing.T) {
	p := start(t, terminal("sh", "-c", `set -m; sleep 1000; echo "job $?"; exit 0`))
	lines := bufio.NewScanner(p.Stdout)
	for foregroundOf(p.Stdout) == p.Pid || foregroundOf(p.Stdout) == 0 {
		select {
		case <-p.Ended():
			t.Fatal("it ended")
		default:
		}
	}
	if err := p.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if end := status(t, p); !end.Signaled() {
		t.Errorf("status %v", end)
	}
	// The job held the terminal too: its end is the terminal's.
	for lines.Scan() {
	}
}

func TestWithoutStdinNothingIsTyped(t *testing.T) {
	c := terminal("true")
	c.Stdin = false
	p := start(t, c)
	if p.Stdin != nil {
		t.Error("stdin is open")
	}
	p.EndInput()
	status(t, p)
	p.Stdout.Close()
}
