package lab_test

import (
	"context"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/lab/host"
)

// echoes sends ICMP echo requests (RFC 792) from inside a host of the lab, and counts the replies.
type echoes struct {
	conn     net.Conn
	id       uint16
	sent     uint16
	stop     chan struct{}
	ended    sync.WaitGroup
	lock     sync.Mutex
	answered map[uint16]bool
}

// echoID tells one sender's replies from another's.
var echoID uint16

// sendEchoes sends one every so often until it is ended.
func sendEchoes(from, to string, every time.Duration) *echoes {
	GinkgoHelper()
	hosts, err := host.Find(directory)
	Expect(err).NotTo(HaveOccurred())
	at := slices.IndexFunc(hosts, func(h host.Host) bool { return h.Name == from })
	Expect(at).NotTo(Equal(-1), from)
	conn, err := hosts[at].Dial(context.Background(), "ip4:icmp", to)
	Expect(err).NotTo(HaveOccurred())
	echoID++
	e := &echoes{conn: conn, id: echoID, stop: make(chan struct{}), answered: map[uint16]bool{}}
	e.ended.Go(e.read)
	e.ended.Go(func() {
		for {
			e.sent++
			// A route that is gone for a moment refuses the packet: it counts as lost.
			_, _ = conn.Write(request(e.id, e.sent))
			select {
			case <-e.stop:
				return
			case <-time.After(every):
			}
		}
	})
	return e
}

func (e *echoes) read() {
	data := make([]byte, 256)
	for {
		n, err := e.conn.Read(data)
		if err != nil {
			return
		}
		// A raw socket gives the IPv4 header, too.
		if header := int(data[0]&0xf) * 4; n >= header+8 && data[header] == 0 && binary.BigEndian.Uint16(data[header+4:]) == e.id {
			e.lock.Lock()
			e.answered[binary.BigEndian.Uint16(data[header+6:])] = true
			e.lock.Unlock()
		}
	}
}

func (e *echoes) replies() int {
	e.lock.Lock()
	defer e.lock.Unlock()
	return len(e.answered)
}

// end stops, waits for what is under way, and says how many were sent and answered.
func (e *echoes) end() (sent, answered int) {
	close(e.stop)
	time.Sleep(time.Second)
	e.conn.Close()
	e.ended.Wait()
	return int(e.sent), e.replies()
}

// gaps lists the first and last of each run of requests that had no reply.
func (e *echoes) gaps() (gaps [][2]uint16) {
	for n := uint16(1); n <= e.sent; n++ {
		switch last := len(gaps) - 1; {
		case e.answered[n]:
		case last >= 0 && gaps[last][1] == n-1:
			gaps[last][1] = n
		default:
			gaps = append(gaps, [2]uint16{n, n})
		}
	}
	return gaps
}

// reaches says whether one echo request is answered.
func reaches(from, to string) bool {
	GinkgoHelper()
	e := sendEchoes(from, to, time.Hour)
	_, answered := e.end()
	return answered > 0
}

func request(id, sequence uint16) []byte {
	out := []byte{8, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(out[4:], id)
	binary.BigEndian.PutUint16(out[6:], sequence)
	sum := uint32(0x0800) + uint32(id) + uint32(sequence)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(out[2:], ^uint16(sum))
	return out
}
