package routes

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// sources are the multicast groups of netlink that tell of changes to what an enforcer holds: links, addresses
// and routes, nf_tables of whatever table, IPsec policies. Legacy iptables and kernel parameters tell nothing.
var sources = []struct {
	protocol int
	groups   []uint
}{
	{unix.NETLINK_ROUTE, []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE}},
	{unix.NETLINK_NETFILTER, []uint{unix.NFNLGRP_NFTABLES}},
	{unix.NETLINK_XFRM, []uint{xfrmGroupPolicy}},
}

// xfrmGroupPolicy is XFRMNLGRP_POLICY of linux/xfrm.h.
const xfrmGroupPolicy = 4

// Watch sends when something changes in the namespace of the calling thread, until done is closed. Changes
// that come while one waits to be received are one with it. Events can get lost, so look from time to time
// as well. With the error there may be a source that is missing in this kernel; the others are watched.
func Watch(done <-chan struct{}) (<-chan struct{}, error) {
	changed := make(chan struct{}, 1)
	var failed []error
	for _, source := range sources {
		socket, err := nl.Subscribe(source.protocol, source.groups...)
		if err != nil {
			failed = append(failed, fmt.Errorf("watching netlink protocol %d: %w", source.protocol, err))
			continue
		}
		go func() {
			<-done
			socket.Close()
		}()
		go watch(socket, changed)
	}
	return changed, errors.Join(failed...)
}

// watch passes every message on, whatever it says: what has changed is for the next look to find out. That
// messages were lost is a change as well.
func watch(socket *nl.NetlinkSocket, changed chan<- struct{}) {
	for {
		if _, _, err := socket.Receive(); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}
