// Package vici talks to a running charon over its vici socket, through govici. It brings charon's
// connections and shared keys to what package ipsec rendered, and reports security associations and
// events. It decides nothing: what is wanted comes from ipsec, what it means from the callers.
//
// Whoever can open the socket can read and change everything in charon; it belongs to root.
package vici
