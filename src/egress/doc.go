// Package egress decides what may pass between an org's segment, its private networks and everybody
// else, and writes the decision down as rules, routes, policies and settings. It is pure: the packages
// below it bring a kernel to that state and keep it there.
//
// # Security model
//
// Promised, as long as one of the layers stands:
//
//   - On a dedicated cell, a container or process reaches a private network only by the route to the
//     org's gateway, and only by the protocols and ports that the connection allows. Where that route is
//     gone, the packet is refused or dropped; it never takes the default route.
//   - A private network opens nothing towards the segment but the declared inbound ports; it may answer.
//   - A gateway forwards between its own segment and its own private networks, inside IPsec, and forwards
//     nothing else: it is a router for nobody. IKE and ESP are taken from the declared endpoints only, other
//     calls from the segment and the platform's management only (IPv4; by IPv6 only IKE is refused).
//   - A gateway translates no address of or to a private network, whatever other rules the VM has: such a flow is
//     dropped. With iptables, its first packet may pass, if it still fits the tunnel.
//   - From a shared cell nothing enters a segment but the platform's own ports (PlatformPorts).
//   - Private networks are IPv4 only. IPv6 is not forwarded by a cell or a gateway.
//   - It fails closed: no stop, crash, upgrade or bad configuration removes a rule. Only Remove does.
//
// Against whom: apps on the dedicated and on the shared cells, hosts in the private networks and on the
// internet; and, as an accident rather than an attack, other software on the same VM that flushes or
// rewrites rules and routes. Not against root on the VM, nor against an IaaS that lets a guest send from
// an address that is not its own.
//
// Every role's rules end in a drop for the networks they guard. They return what they allow to the rules
// of others and never accept it, so they can only narrow what a packet may do.
package egress
