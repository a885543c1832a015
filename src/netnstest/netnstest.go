// Package netnstest lets specs work in network namespaces. It needs root; a spec that has none is skipped.
package netnstest

import (
	"net"
	"os"
	"os/exec"
	"runtime"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Alone does the work in a network namespace of its own that has a loopback and ends with the work. Programs that the
// work starts itself, and not another goroutine, are in the namespace, too.
func Alone(work func()) {
	GinkgoHelper()
	elsewhere(func() {
		Expect(unix.Unshare(unix.CLONE_NEWNET)).To(Succeed())
		output, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", output)
		work()
	})
}

// In does the work in the namespace that ip netns knows by this name. A socket stays in the namespace that it was
// made in.
func In(name string, work func()) {
	GinkgoHelper()
	elsewhere(func() {
		handle, err := netns.GetFromName(name)
		Expect(err).NotTo(HaveOccurred(), name)
		defer handle.Close()
		Expect(netns.Set(handle)).To(Succeed())
		work()
	})
}

// elsewhere does the work on a thread of its own. It is not unlocked: it ends with the goroutine, and takes the
// namespace that it went to along.
func elsewhere(work func()) {
	GinkgoHelper()
	if os.Geteuid() != 0 {
		Skip("needs root, for network namespaces")
	}
	done := make(chan struct{})
	go func() {
		defer GinkgoRecover()
		defer close(done)
		runtime.LockOSThread()
		work()
	}()
	<-done
}

// Serve accepts TCP connections in a namespace, and closes each, until the spec ends or stop is called.
func Serve(name, address string) (stop func() error) {
	GinkgoHelper()
	var listener net.Listener
	In(name, func() {
		var err error
		listener, err = net.Listen("tcp4", address)
		Expect(err).NotTo(HaveOccurred())
	})
	DeferCleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	return listener.Close
}
