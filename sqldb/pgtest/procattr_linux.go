package pgtest

import "syscall"

// attributes make the child end with this process, and keep it out of the
// terminal's process group, so that it is stopped by Stop and not by Ctrl-C.
// SIGQUIT is PostgreSQL's immediate shutdown.
func attributes(c *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: c, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
}
