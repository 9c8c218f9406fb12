package channel

import (
	"bufio"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A socket pair stands for the port. Unlike one it never comes back after a
// hang-up; that is tested with a real guest.
func pair(t *testing.T) (*Port, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	guest, host := os.NewFile(uintptr(fds[0]), "guest"), os.NewFile(uintptr(fds[1]), "host")
	t.Cleanup(func() { guest.Close(); host.Close() })
	if err := host.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	port, err := newPort(guest)
	if err != nil {
		t.Fatal(err)
	}
	return port, host
}

func accept(t *testing.T, port *Port) net.Conn {
	t.Helper()
	conn, err := port.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func send(t *testing.T, host *os.File, text string) {
	t.Helper()
	if _, err := host.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestAcceptEchoesTheHelloAndLeavesTheRest(t *testing.T) {
	port, host := pair(t)
	send(t, host, "stale bytes\x00\n"+helloA+preface)
	conn := accept(t, port)
	if line, err := bufio.NewReader(host).ReadString('\n'); err != nil || line != helloA {
		t.Fatalf("echo %q, %v", line, err)
	}
	got := make([]byte, len(preface))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != preface {
		t.Fatalf("read %q, %v", got, err)
	}
}

func TestAHelloInsideASessionEndsItAndStartsTheNext(t *testing.T) {
	port, host := pair(t)
	send(t, host, helloA+preface+helloB)
	first := accept(t, port)
	if text, err := io.ReadAll(first); err == nil || string(text) != preface {
		t.Fatalf("the first session read %q, %v", text, err)
	}
	second := make(chan net.Conn)
	go func() { second <- accept(t, port) }()
	select {
	case <-second:
		t.Fatal("a second session began before the first was closed")
	case <-time.After(20 * time.Millisecond):
	}
	first.Close()
	<-second
	echoes := bufio.NewReader(host)
	for _, want := range []string{helloA, helloB} {
		if line, err := echoes.ReadString('\n'); err != nil || line != want {
			t.Fatalf("echo %q, %v", line, err)
		}
	}
}

func TestCloseWakesReadersAndWriters(t *testing.T) {
	port, host := pair(t)
	send(t, host, helloA)
	conn := accept(t, port)
	ended := make(chan error, 2)
	go func() {
		_, err := conn.Read(make([]byte, 10))
		ended <- err
	}()
	go func() {
		// More than any socket buffer: the host does not read.
		_, err := conn.Write(make([]byte, 64<<20))
		ended <- err
	}()
	conn.Close()
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("a reader or writer ended without an error")
		}
	}
	if _, err := conn.Write([]byte("late")); err == nil {
		t.Error("a late write went through")
	}
}
