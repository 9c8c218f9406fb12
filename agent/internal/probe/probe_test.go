package probe

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"
)

func run(t *testing.T, requests ...Request) map[int]Answer {
	t.Helper()
	var in, out bytes.Buffer
	for _, request := range requests {
		if err := json.NewEncoder(&in).Encode(request); err != nil {
			t.Fatal(err)
		}
	}
	if err := Run(&in, &out); err != nil {
		t.Fatal(err)
	}
	answers := map[int]Answer{}
	for decoder := json.NewDecoder(&out); decoder.More(); {
		var answer Answer
		if err := decoder.Decode(&answer); err != nil {
			t.Fatal(err)
		}
		answers[answer.ID] = answer
	}
	return answers
}

// serve accepts connections on a port of this machine's loopback.
func serve(t *testing.T, handle func(net.Conn)) uint16 {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
	return listener.Addr().(*net.TCPAddr).AddrPort().Port()
}

func echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 1024)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		_, _ = conn.Write(buffer[:n])
	}
}

func TestTalksInSteps(t *testing.T) {
	port := serve(t, echo)
	steps := []Step{
		{Send: [][]byte{[]byte("he"), []byte("llo")}, AtLeast: 5},
		{Send: [][]byte{[]byte("one\r\n")}, Until: []byte("\r\n"), Must: []byte("one")},
		{Send: [][]byte{[]byte("x")}, AtLeast: 1, Must: []byte("y")},
		{Send: [][]byte{[]byte("never")}},
	}
	answers := run(t, Request{ID: 7, Talk: &Talk{Address: "127.0.0.1", Port: port, DeadlineMS: 20_000, Steps: steps}})
	talked := answers[7].Talk
	if talked == nil || talked.End != "must" || talked.LocalPort == 0 {
		t.Fatalf("%+v", answers[7])
	}
	if got := string(bytes.Join(talked.Read, []byte("|"))); got != "hello|one\r\n|x" {
		t.Fatalf("read %q", got)
	}
}

func TestSaysHowConversationsEnd(t *testing.T) {
	closing := serve(t, func(conn net.Conn) {
		_, _ = conn.Write([]byte("no"))
		conn.Close()
	})
	mute := serve(t, func(net.Conn) {})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := listener.Addr().(*net.TCPAddr).AddrPort().Port()
	listener.Close()
	talkTo := func(id int, port uint16, ms int) Request {
		return Request{ID: id, Talk: &Talk{Address: "127.0.0.1", Port: port, DeadlineMS: ms, Steps: []Step{{AtLeast: 3}}}}
	}
	answers := run(t, talkTo(1, closing, 20_000), talkTo(2, mute, 50), talkTo(3, free, 20_000),
		Request{ID: 4, Talk: &Talk{Address: "nonsense"}}, Request{ID: 5})
	for id, end := range map[int]string{1: "eof", 2: "timeout", 3: "refused"} {
		if got := answers[id].Talk.End; got != end {
			t.Errorf("%d ended with %q, not %q", id, got, end)
		}
	}
	if string(answers[1].Talk.Read[0]) != "no" {
		t.Errorf("what came before the end is missing: %+v", answers[1].Talk)
	}
	if answers[4].Talk.End == "done" || answers[5].Error == "" {
		t.Errorf("nonsense was done: %+v %+v", answers[4], answers[5])
	}
}

func TestHearsFramesOfTheLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("packet sockets need root")
	}
	// On loopback what is sent comes in.
	frame := append(make([]byte, 12), append([]byte{0x88, 0xb5}, []byte("a frame of the probe's")...)...)
	answers := run(t,
		Request{ID: 1, Frames: &Frames{Link: "lo", Send: [][]byte{frame}, ListenMS: 300}},
		Request{ID: 2, Frames: &Frames{Link: "no-such-link"}})
	heard := answers[1].Frames
	if heard == nil || heard.Sent != 1 {
		t.Fatalf("%+v", answers[1])
	}
	found := 0
	for _, received := range heard.Received {
		if bytes.Contains(received, []byte("a frame of the probe's")) {
			found++
		}
	}
	if found != 1 {
		t.Errorf("it came in %d times", found)
	}
	if !strings.Contains(answers[2].Error, "no-such-link") {
		t.Errorf("%+v", answers[2])
	}
}

func TestRefusesWhatIsNoRequest(t *testing.T) {
	if err := Run(strings.NewReader("{\n"), &bytes.Buffer{}); err == nil {
		t.Error("half an object was taken for a request")
	}
	if err := Run(strings.NewReader(strings.Repeat("{}\n", maxRequests+1)), &bytes.Buffer{}); err == nil {
		t.Error("any number of requests was taken")
	}
}
