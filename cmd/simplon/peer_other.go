//go:build !linux

package main

import "net"

// peerName names who is at the other end of an admin connection, for events;
// only Linux tells us the user id.
func peerName(net.Conn) string { return "cli" }
