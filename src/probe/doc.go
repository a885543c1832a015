// Package probe watches one connection from one VM and says in which state it is and why: from charon's
// security associations and log and the gateway's own status (on a gateway), from the answers of the
// declared targets, and from what the egress enforcer says of its rules. It serves that as JSON and as metrics;
// package probe/page draws it.
//
// It only looks: it changes nothing in charon, the rules or the routes, and opens no tunnel. A probe is
// sent from the VM's own address in the segment to a declared target, like an app's packet. What it
// reports holds no secret.
package probe
