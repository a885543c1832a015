// Package doctor says why an org's connection does not work: it judges what was observed on one VM, from
// near to far, and names what is wrong, whose side it is on, what to change on this type of device, and
// the sentence to send to the customer.
//
// It is pure: package doctor/sense observes, doctor/signature reads charon's log, doctor/advice knows the
// devices. It never guesses: what was not observed is "not reached" or "unknown", and a report with
// nothing failed and something unknown says that it cannot tell.
package doctor
