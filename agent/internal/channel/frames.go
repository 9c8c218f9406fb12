package channel

// The connection preface of HTTP/2 and the layout of its frame header: length
// (3 bytes, big-endian), type, flags, stream (RFC 9113, sections 3.4 and 4.1).
const (
	preface         = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeaderSize = 9
	// MaxFrameSize is the smallest limit HTTP/2 allows, and the server must
	// announce it: only then is the first byte of every frame header 0, and a
	// hello at a frame's place ('V') is no frame.
	MaxFrameSize = 1 << 14
)

// frames follows a host's HTTP/2 byte stream from frame to frame. A host that
// closes and connects again so quickly that the kernel reports no hang-up in
// between is noticed here: its hello stands where a frame must.
type frames struct {
	prefaceSeen int
	header      [frameHeaderSize]byte
	headerSeen  int
	payload     int
}

// take gives how many bytes at the start of input belong to the HTTP/2
// stream. Fewer than len(input): what follows is something else.
func (f *frames) take(input []byte) int {
	for at := 0; at < len(input); {
		switch {
		case f.prefaceSeen < len(preface):
			if input[at] != preface[f.prefaceSeen] {
				return at
			}
			f.prefaceSeen++
			at++
		case f.payload > 0:
			n := min(f.payload, len(input)-at)
			f.payload -= n
			at += n
		default:
			if f.headerSeen == 0 && input[at] != 0 {
				return at
			}
			f.header[f.headerSeen] = input[at]
			f.headerSeen++
			at++
			if f.headerSeen == frameHeaderSize {
				f.headerSeen = 0
				f.payload = int(f.header[1])<<8 | int(f.header[2])
			}
		}
	}
	return len(input)
}
