package channel

import (
	"strings"
	"testing"
)

const (
	nonceA = "0123456789abcdef0123456789abcdef"
	nonceB = "ffffffffffffffffffffffffffffffff"
	helloA = "VMSAN1 " + nonceA + "\n"
	helloB = "VMSAN1 " + nonceB + "\n"
)

func TestScanHelloFindsTheFirstWellFormedLine(t *testing.T) {
	for name, c := range map[string]struct {
		input, line string
		consumed    int
	}{
		"alone":              {helloA, helloA, len(helloA)},
		"behind stale bytes": {"\x00\x01stale VMSAN" + helloA + "PRI", helloA, 13 + len(helloA)},
		"behind a broken one": {
			"VMSAN1 " + strings.Repeat("G", 32) + "\n" + helloA, helloA, 2 * len(helloA),
		},
		"upper case is none":  {"VMSAN1 " + strings.ToUpper(nonceA) + "\n" + helloB, helloB, 2 * len(helloB)},
		"cut by the next one": {helloA[:20] + helloB, helloB, 20 + len(helloB)},
		"two":                 {helloA + helloB, helloA, len(helloA)},
	} {
		line, consumed := scanHello([]byte(c.input))
		if string(line) != c.line || consumed != c.consumed {
			t.Errorf("%s: got %q up to %d, want %q up to %d", name, line, consumed, c.line, c.consumed)
		}
	}
}

func TestScanHelloKeepsWhatCanStillBecomeOne(t *testing.T) {
	stale := strings.Repeat("x", 100)
	for cut := range len(helloA) {
		line, consumed := scanHello([]byte(stale + helloA[:cut]))
		if line != nil {
			t.Fatalf("found %q in a hello cut at %d", line, cut)
		}
		if consumed > len(stale) {
			t.Fatalf("cut at %d: %d bytes of the hello were dropped", cut, consumed-len(stale))
		}
		if kept := len(stale) + cut - consumed; kept > helloSize {
			t.Fatalf("cut at %d: %d bytes kept", cut, kept)
		}
	}
}

func TestFramesEndsWhereAFrameShouldBe(t *testing.T) {
	settings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	// A payload that looks like a hello is only a payload.
	data := "\x00\x00\x28\x00\x00\x00\x00\x00\x01" + helloB
	stream := preface + settings + data + settings
	for size := 1; size < len(stream); size++ {
		var f frames
		input := stream + helloA
		taken := 0
		for taken < len(stream) {
			end := min(taken+size, len(input))
			n := f.take([]byte(input[taken:end]))
			taken += n
			if n < min(size, len(stream)-taken) && taken < len(stream) {
				t.Fatalf("in steps of %d: stopped at %d of %d", size, taken, len(stream))
			}
		}
		if n := f.take([]byte(input[taken:])); taken != len(stream) || n != 0 {
			t.Fatalf("in steps of %d: took %d of %d, then %d", size, taken, len(stream), n)
		}
	}
}

func TestFramesRefusesAHelloInsteadOfThePreface(t *testing.T) {
	var f frames
	if n := f.take([]byte(helloA)); n != 0 {
		t.Fatalf("took %d bytes", n)
	}
}
