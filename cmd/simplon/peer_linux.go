package main

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peerName names who is at the other end of an admin connection, for events.
func peerName(c net.Conn) string {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return "cli"
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return "cli"
	}
	name := "cli"
	err = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			name = fmt.Sprintf("cli:uid=%d", cred.Uid)
		}
	})
	if err != nil {
		return "cli"
	}
	return name
}
