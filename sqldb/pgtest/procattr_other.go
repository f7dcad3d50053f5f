//go:build unix && !linux

package pgtest

import "syscall"

// attributes keep the child out of the terminal's process group. Systems other
// than Linux do not end a child with its parent: a killed test process leaves
// its server behind there.
func attributes(c *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: c, Setpgid: true}
}
