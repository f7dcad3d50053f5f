package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	superuser    = "postgres"
	startTimeout = time.Minute
	// folderPattern begins the names of server folders, so that those of killed
	// processes can be found and removed.
	folderPattern = "pgtest-"
)

// Server is a private PostgreSQL server that ends with this process. It listens
// on a Unix socket in a folder of its own and on no network address; whoever can
// open that folder (its user and root) is superuser.
type Server struct {
	dir  string
	lock *os.File // held as long as this process lives
	cmd  *exec.Cmd
	log  *bytes.Buffer // read only after exited is closed

	exited   chan struct{}
	exitErr  error // valid after exited is closed
	stopOnce sync.Once
	stopErr  error
}

// Start starts a server and waits until it answers. It finds the newest
// PostgreSQL under /usr/lib/postgresql, else the one in PATH. A process of root
// runs it as the user "postgres", because PostgreSQL refuses root.
func Start(ctx context.Context) (*Server, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	s, err := start(ctx, bin)
	if err != nil {
		return nil, fmt.Errorf("pgtest: start PostgreSQL in %s: %w", bin, err)
	}
	return s, nil
}

func start(ctx context.Context, bin string) (s *Server, err error) {
	credential, err := unprivileged()
	if err != nil {
		return nil, err
	}
	removeAbandoned()
	s = &Server{log: new(bytes.Buffer), exited: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := s.makeFolder(credential); err != nil {
		return s, err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata", s.data(), "--username", superuser,
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
	initdb.Dir = s.dir
	initdb.Env = environment()
	initdb.SysProcAttr = attributes(credential)
	if out, err := initdb.CombinedOutput(); err != nil {
		return s, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	// Its data is worth nothing: no setting here waits for a disk.
	s.cmd = exec.Command(filepath.Join(bin, "postgres"), "-D", s.data(), "-k", s.dir,
		"-c", "listen_addresses=", "-c", "unix_socket_permissions=0700", "-c", "max_connections=200",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
		"-c", "autovacuum=off", "-c", "max_wal_size=4GB", "-c", "logging_collector=off")
	s.cmd.Dir = s.dir
	s.cmd.Env = environment()
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = attributes(credential)
	if err := s.launch(); err != nil {
		return s, err
	}
	return s, s.waitReady(ctx)
}

// launch starts the process on a thread that lives as long as it does: Linux
// sends the parent-death signal when the thread that started a child ends.
func (s *Server) launch() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		if err != nil {
			s.cmd = nil
		}
		started <- err
		if err != nil {
			return
		}
		s.exitErr = s.cmd.Wait()
		close(s.exited)
	}()
	return <-started
}

// waitReady connects until the server answers or has ended.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.exited:
			return fmt.Errorf("the server ended: %w\n%s", s.exitErr, s.log)
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", err)
		case <-tick.C:
		}
	}
}

// URL returns the superuser's URL of the maintenance database.
func (s *Server) URL() string {
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/postgres",
		RawQuery: url.Values{"host": {s.dir}, "sslmode": {"disable"}}.Encode()}
	return u.String()
}

// Stop ends the server at once, without saving anything, and removes its files.
// Calling it again returns the first result.
func (s *Server) Stop() error {
	s.stopOnce.Do(func() {
		if s.cmd != nil {
			// SIGQUIT is PostgreSQL's immediate shutdown; unlike SIGKILL it
			// frees shared memory.
			_ = s.cmd.Process.Signal(syscall.SIGQUIT)
			<-s.exited
		}
		if s.dir != "" {
			s.stopErr = errors.Join(os.RemoveAll(s.dir), s.lock.Close())
		}
	})
	return s.stopErr
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// makeFolder makes the folder for data and socket, owned by the server's user.
// The path must be short: a socket's has at most 107 bytes.
func (s *Server) makeFolder(c *syscall.Credential) (err error) {
	if s.dir, err = os.MkdirTemp(shortTempDir(), folderPattern); err != nil {
		return err
	}
	if s.lock, err = os.Create(filepath.Join(s.dir, "lock")); err != nil {
		return err
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return err
	}
	if c == nil {
		return nil
	}
	return os.Chown(s.dir, int(c.Uid), int(c.Gid))
}

func shortTempDir() string {
	if dir := os.TempDir(); len(dir) <= 60 {
		return dir
	}
	return "/tmp"
}

// removeAbandoned removes folders of processes that were killed: nobody holds
// their lock any more. Young ones may be about to take it.
func removeAbandoned() {
	dirs, _ := filepath.Glob(filepath.Join(shortTempDir(), folderPattern+"*"))
	for _, dir := range dirs {
		lock, err := os.Open(filepath.Join(dir, "lock"))
		if err != nil {
			continue
		}
		info, err := lock.Stat()
		if err == nil && time.Since(info.ModTime()) > startTimeout &&
			syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir) // fails for other users' folders, as it should
		}
		_ = lock.Close()
	}
}

// findBinaries returns the folder of initdb and postgres.
func findBinaries() (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	version := func(dir string) float64 {
		v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(dir)), 64)
		return v
	}
	slices.SortFunc(dirs, func(a, b string) int { return int(10*version(b) - 10*version(a)) })
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, dir := range dirs {
		if executable(filepath.Join(dir, "initdb")) && executable(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", errors.New("PostgreSQL not found: need initdb and postgres under /usr/lib/postgresql/*/bin or in PATH " +
		"(Debian: apt-get install postgresql), or a superuser URL in " + EnvServer)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// unprivileged returns the user to become; nil stays who we are.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL refuses to run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// environment leaves out what would redirect PostgreSQL's programs.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "PG") || strings.HasPrefix(kv, "LC_") || strings.HasPrefix(kv, "LANG")
	})
}
