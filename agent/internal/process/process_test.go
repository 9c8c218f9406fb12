package process

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test program's own reaper: it takes every child, as PID 1 does.
var reaper = NewReaper()

func me() User {
	return User{Name: "me", UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Home: "/"}
}

func command(argv ...string) Command {
	return Command{Argv: argv, Env: Environment(me(), nil), Cwd: "/", User: me()}
}

func start(t *testing.T, c Command) *Process {
	t.Helper()
	p, err := reaper.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func status(t *testing.T, p *Process) unix.WaitStatus {
	t.Helper()
	select {
	case status := <-p.Ended():
		return status
	case <-time.After(10 * time.Second):
		t.Fatal("the process did not end")
		panic("unreachable")
	}
}

// outputs pumps both streams until the process has ended.
func outputs(t *testing.T, p *Process) (stdout, stderr string, end unix.WaitStatus) {
	t.Helper()
	ended := make(chan struct{})
	var out, err bytes.Buffer
	var pumps sync.WaitGroup
	for file, into := range map[*os.File]*bytes.Buffer{p.Stdout: &out, p.Stderr: &err} {
		pumps.Add(1)
		go func() {
			defer pumps.Done()
			_ = Pump(file, ended, func(chunk []byte) error { into.Write(chunk); return nil })
		}()
	}
	end = status(t, p)
	close(ended)
	pumps.Wait()
	return out.String(), err.String(), end
}

func TestOutputAndExitCode(t *testing.T) {
	out, err, end := outputs(t, start(t, command("sh", "-c", "echo out; echo err >&2; exit 7")))
	if out != "out\n" || err != "err\n" || end.ExitStatus() != 7 {
		t.Errorf("got %q, %q, %d", out, err, end.ExitStatus())
	}
}

func TestManyAtOnceEachGetTheirOwnStatus(t *testing.T) {
	var all sync.WaitGroup
	for i := range 60 {
		all.Add(1)
		go func() {
			defer all.Done()
			p, err := reaper.Start(command("sh", "-c", "exit "+string(rune('0'+i%10))))
			if err != nil {
				t.Error(err)
				return
			}
			p.Stdout.Close()
			p.Stderr.Close()
			if end := <-p.Ended(); end.ExitStatus() != i%10 {
				t.Errorf("exit %d gave %d", i%10, end.ExitStatus())
			}
		}()
	}
	all.Wait()
}

func TestArgumentsEnvironmentAndDirectoryArriveUntouched(t *testing.T) {
	c := command("sh", "-c", `printf '%s|' "$@"; pwd; echo "$A:$HOME"`, "sh", "a b", "", "*")
	c.Cwd = "/usr"
	c.Env = Environment(me(), []string{"A=1", "HOME=/x", "A=2"})
	out, _, _ := outputs(t, start(t, c))
	if out != "a b||*|/usr\n2:/x\n" {
		t.Errorf("got %q", out)
	}
}

func TestStdin(t *testing.T) {
	c := command("cat")
	c.Stdin = true
	p := start(t, c)
	go func() {
		_, _ = io.WriteString(p.Stdin, strings.Repeat("x", 1<<20))
		p.Stdin.Close()
	}()
	if out, _, _ := outputs(t, p); len(out) != 1<<20 {
		t.Errorf("%d bytes came back", len(out))
	}
	if out, _, _ := outputs(t, start(t, command("cat"))); out != "" {
		t.Errorf("without stdin: %q", out)
	}
}

func TestSignalReachesTheWholeGroup(t *testing.T) {
	p := start(t, command("sh", "-c", "sleep 100 & echo ready; wait"))
	if _, err := io.ReadFull(p.Stdout, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// The sleep held stdout open too.
	if rest, err := io.ReadAll(p.Stdout); err != nil || len(rest) != 0 {
		t.Errorf("stdout: %q, %v", rest, err)
	}
	if end := status(t, p); !end.Signaled() || end.Signal() != unix.SIGKILL {
		t.Errorf("status %v", end)
	}
	if err := p.Signal(unix.SIGKILL); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

func TestAChildThatKeepsTheStreamOpenDoesNotKeepTheCaller(t *testing.T) {
	begin := time.Now()
	p := start(t, command("sh", "-c", "sleep 100 & echo done; echo $!"))
	out, _, _ := outputs(t, p)
	_, pid, _ := strings.Cut(strings.TrimSpace(out), "\n")
	defer start(t, command("kill", pid))
	if !strings.HasPrefix(out, "done\n") || time.Since(begin) > 5*time.Second {
		t.Errorf("%q after %v", out, time.Since(begin))
	}
}

func TestASlowReaderLosesNothingOfAnEndedProcess(t *testing.T) {
	p := start(t, command("sh", "-c", "sleep 100 & echo $!; exec head -c 60000 /dev/zero"))
	status(t, p)
	ended := make(chan struct{})
	close(ended)
	var got bytes.Buffer
	err := Pump(p.Stdout, ended, func(chunk []byte) error {
		time.Sleep(2 * afterEnd) // not a wait: this reader is slow
		got.Write(chunk)
		return nil
	})
	pid, zeros, _ := strings.Cut(got.String(), "\n")
	defer start(t, command("kill", pid))
	if err != nil || len(zeros) != 60000 {
		t.Errorf("%d bytes, %v", len(zeros), err)
	}
}

func TestWhatCannotStart(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("\x01\x02"), 0o755); err != nil {
		t.Fatal(err)
	}
	in := func(cwd string, argv ...string) Command {
		c := command(argv...)
		c.Cwd = cwd
		return c
	}
	for name, c := range map[string]struct {
		command Command
		code    uint32
	}{
		"no such program":   {command("no-such-program"), CodeNotFound},
		"no such path":      {command("/no/such/program"), CodeNotFound},
		"not executable":    {command(text), CodeCannotInvoke},
		"a directory":       {command(dir), CodeCannotInvoke},
		"no program at all": {command(garbage), CodeCannotInvoke},
		"no directory":      {in("/no/such/directory", "true"), CodeFailed},
		"a file as it":      {in(text, "true"), CodeFailed},
		"nothing":           {command(), CodeFailed},
	} {
		_, err := reaper.Start(c.command)
		var failed *StartError
		if !errors.As(err, &failed) || failed.Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEmptyFollowsTheChildren(t *testing.T) {
	p := start(t, command("cat"))
	p.Stdout.Close()
	p.Stderr.Close()
	status(t, p)
	c := command("cat")
	c.Stdin = true
	p = start(t, c)
	select {
	case <-reaper.Empty():
		t.Error("empty while a child runs")
	default:
	}
	p.Stdin.Close()
	status(t, p)
}
