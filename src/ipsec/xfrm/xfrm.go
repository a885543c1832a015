// Package xfrm touches the kernel's own IPsec state. It needs CAP_NET_ADMIN.
package xfrm

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// FlushSAs removes all security associations and leaves the policies: what a policy protects is dropped
// until there is an SA again, and never sent in clear. A charon that was killed leaves SAs that its
// successor does not know; traffic would go into them and nowhere.
func FlushSAs() error {
	if err := netlink.XfrmStateFlush(0); err != nil {
		return fmt.Errorf("flushing the kernel's security associations: %w; if this kernel has no IPsec, use data_path: userland", err)
	}
	return nil
}
