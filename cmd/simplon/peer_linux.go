package main

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peerOf says who is at the other end of an admin connection. Where the system
// does not tell, it is nobody.
func peerOf(c net.Conn) peer {
	nobody := peer{uid: -1, name: "cli"}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nobody
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return nobody
	}
	who := nobody
	err = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			who = peer{uid: int(cred.Uid), name: fmt.Sprintf("cli:uid=%d", cred.Uid)}
		}
	})
	if err != nil {
		return nobody
	}
	return who
}
