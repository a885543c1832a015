// Package leaks is the leak oracle: it builds a small world of network namespaces with a real tunnel and
// the real enforcers, sends packets without a pause that must not arrive, breaks things, and counts what
// arrived nevertheless.
//
// A leak is a packet for a private network seen in clear on the internet, or one that a tunnel or a gateway
// delivered although nobody may send it. Counted is by rules in namespaces that no fault touches, so by the
// kernel and without losing any.
//
// Every Fault names the Layers that it takes away, every Flow the sets of layers, its cuts, without which
// it leaks. As long as no cut is gone as a whole, one leaked packet is a failure. Where one is gone, the
// oracle tells how much leaked instead.
package leaks
