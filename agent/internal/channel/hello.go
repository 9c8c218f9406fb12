package channel

import "bytes"

// A host starts a session with one line, which the agent echoes:
//
//	VMSAN1 <32 lower-case hex digits>\n
//
// Bytes of earlier sessions can precede it in either direction: QEMU and the
// kernel keep what one host left unread and give it to the next one.
const (
	helloPrefix = "VMSAN1 "
	nonceSize   = 32
	helloSize   = len(helloPrefix) + nonceSize + 1
)

// scanHello looks for the first well-formed hello in input. Found: the line
// itself and the number of bytes up to its end. Not found: line is nil and
// consumed bytes can be dropped, because no hello can start in them.
func scanHello(input []byte) (line []byte, consumed int) {
	for at := 0; ; {
		found := bytes.Index(input[at:], []byte(helloPrefix))
		if found < 0 {
			return nil, max(at, len(input)-len(helloPrefix)+1)
		}
		at += found
		if len(input)-at < helloSize {
			return nil, at
		}
		if line := input[at : at+helloSize]; wellFormed(line) {
			return line, at + helloSize
		}
		at += len(helloPrefix)
	}
}

func wellFormed(line []byte) bool {
	for _, digit := range line[len(helloPrefix) : helloSize-1] {
		if (digit < '0' || digit > '9') && (digit < 'a' || digit > 'f') {
			return false
		}
	}
	return line[helloSize-1] == '\n'
}
