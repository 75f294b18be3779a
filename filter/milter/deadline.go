package milter

import (
	"net"
	"time"

	"github.com/millrace/millrace/filter"
)

// deadlined reads from a connection with a deadline on every read. The deadline is long for the first byte of a frame.
// From that byte on, one deadline counts for all of the frame, so that a byte now and then does not keep a connection
// open.
type deadlined struct {
	nc         net.Conn
	quickAck   func() // called before each read; nil when nc is no TCP connection
	idle, read time.Duration
	until      time.Time     // of the frame that has begun; zero between frames
	probing    time.Duration // bounds the wait of a probe; zero outside of one. See frames.probe
	ahead      []byte        // read before the connection: what another process has read of it
	halt       filter.Halt
}

// probeTime is how long the shortest probe waits. It is not zero, because a read whose deadline has passed is not tried
// at all.
const probeTime = time.Millisecond

// Read implements io.Reader.
func (d *deadlined) Read(p []byte) (int, error) {
	now := time.Now()
	if len(d.ahead) > 0 {
		n := copy(p, d.ahead)
		d.ahead = d.ahead[n:]
		d.until = now.Add(d.read)
		return n, nil
	}
	until := d.until
	switch {
	case d.probing > 0:
		until = now.Add(d.probing)
	case until.IsZero():
		until = now.Add(d.idle)
	}
	if err := d.halt.Arm(d.nc, until); err != nil {
		return 0, err
	}
	if d.quickAck != nil {
		d.quickAck()
	}
	n, err := d.nc.Read(p)
	if n > 0 && d.until.IsZero() {
		d.until = now.Add(d.read)
	}
	return n, d.halt.Cause(err)
}

// between is called when a frame is complete. begun says that bytes of the next one have been read already: its deadline
// counts from now.
func (d *deadlined) between(begun bool) {
	d.until = time.Time{}
	if begun {
		d.until = time.Now().Add(d.read)
	}
}
