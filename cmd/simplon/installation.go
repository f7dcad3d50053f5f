package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"simplon/console"
	"simplon/identity"
	"simplon/secret"
	"simplon/sqldb"
	"simplon/storage"
)

// installation is an open data_dir and database: what both the server and a
// command without a server work on. The caller holds the lock on data_dir.
type installation struct {
	config Config
	db     *storage.DB
	ring   *secret.Ring
	source *secret.Source
	pool   *secret.Pool
	front  identity.Front
	acts   *console.Acts
}

// intent is what an installation is opened for.
type intent int

const (
	toUse   intent = iota // it must be there already
	toFound               // it may be begun
	toServe               // it may be begun, and moved to another issuer
)

// ringContext binds the proof of the ring in the database.
const ringContext = "installation"

// checkInstalled refuses a configuration under which nothing was begun yet, so
// that a look into a wrong folder shows a mistake and not an empty list. It makes
// nothing; what is in a database shows only when it is open.
func checkInstalled(c Config) error {
	needed := keysPath(c)
	if path, ok := strings.CutPrefix(c.Database.URL.Reveal(), "sqlite:"); ok {
		needed = path // where keys.json alone is missing, there is a better message
	}
	if _, err := os.Stat(needed); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no installation in %s: %s does not exist; check data_dir and --config", c.DataDir, needed)
	}
	return nil // any other error comes again, with its context
}

func keysPath(c Config) string { return filepath.Join(c.DataDir, "keys.json") }

// openInstallation opens the database, brings its schema up to date, loads or
// makes the key ring and the default front, and sees that ring and database
// belong together.
func openInstallation(ctx context.Context, c Config, why intent, log *slog.Logger) (*installation, error) {
	in := &installation{config: c, source: secret.NewSource(rand.Reader)}
	var err error
	in.db, err = storage.Open(ctx, sqldb.Config{URL: c.Database.URL.Reveal(), MaxConns: c.Database.MaxConns, Now: time.Now})
	if err != nil {
		return nil, err
	}
	if err := in.open(ctx, why, log); err != nil {
		return nil, errors.Join(err, in.db.Close())
	}
	return in, nil
}

func (in *installation) open(ctx context.Context, why intent, log *slog.Logger) error {
	c := in.config
	if why == toUse {
		if installed, err := in.db.Installed(); err != nil {
			return fmt.Errorf("look for the installation: %w", err)
		} else if !installed {
			return fmt.Errorf("no installation in the database of %s; check database.url and --config", c.DataDir)
		}
	}
	if err := in.db.Migrate(ctx, sqldb.MigrateOptions{Copy: true, Log: log}); err != nil {
		return err
	}
	if err := in.begin(ctx); err != nil {
		return err
	}
	if err := in.settleIssuer(ctx, why, log); err != nil {
		return err
	}
	var err error
	in.pool, err = secret.NewPool(secret.PoolConfig{
		Params: secret.Params{MemoryKiB: uint32(c.Password.Memory / kibibyte), Time: uint32(c.Password.Time), Threads: uint8(c.Password.Threads)},
		Slots:  c.Password.HashSlots(runtime.GOMAXPROCS(0)), Queue: c.Password.Queue})
	if err != nil {
		return err
	}
	in.acts = &console.Acts{
		DB: in.db, Ring: in.ring, Source: in.source, Random: rand.Reader, Pool: in.pool, Now: time.Now, Front: in.front,
		Issuer: c.Issuer.String(), MinLen: c.Password.MinLength, LinkLife: c.TTL.SetupLink.Std(), Algs: c.Signing.Algorithms,
	}
	return nil
}

// close closes the database. Its error changes nothing for a process that ends:
// every acknowledged write is durable already.
func (in *installation) close() { _ = in.db.Close() }

// begin finds ring and front, or makes both. The order holds through a crash and
// against other nodes: the ring is safe on disk before anything is sealed under
// it; then one transaction decides whose ring it is. Who loses takes the ring it
// just made away again, and after a crash the proof in the database tells.
func (in *installation) begin(ctx context.Context) error {
	path := keysPath(in.config)
	made, err := in.keyRing(path)
	if err != nil {
		return err
	}
	if in.front, err = in.defaultFront(ctx); err != nil {
		return fmt.Errorf("front: %w", err)
	}
	proof, err := in.db.RingProof()
	if errors.Is(err, storage.ErrNotFound) {
		return errors.New("the database was made by a development version of simplon and has no proof of its key ring; begin with an empty one")
	}
	if err != nil {
		return err
	}
	_, err = in.ring.Open(ringContext, proof)
	switch {
	case err == nil:
		return nil
	case made:
		return errors.Join(fmt.Errorf("another node began this installation at the same moment: copy its keys.json to %s, then start again", path), os.Remove(path))
	}
	return fmt.Errorf("%s is not the key ring of this database: copy keys.json from the backup, from where this installation ran before, or from another node", path)
}

// keyRing loads the ring, and tells whether it had to make it. It is made only
// for a database that nobody used yet: a new ring beside old data would open none
// of it.
func (in *installation) keyRing(path string) (made bool, err error) {
	in.ring, err = secret.LoadRing(path)
	if !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return false, fmt.Errorf("key ring %s: %w", path, err)
		}
		return false, nil
	}
	if _, err := in.db.DefaultFront(); err == nil {
		return false, fmt.Errorf("the database is in use, but %s is missing: copy it from the backup, from where this installation ran before, or from another node", path)
	} else if !errors.Is(err, storage.ErrNotFound) {
		return false, err
	}
	in.ring = secret.NewRing(in.source, time.Now())
	if err := in.ring.Save(path); err != nil {
		return false, fmt.Errorf("key ring: %w", err)
	}
	return true, nil
}

// defaultFront returns the front of the installation. At first start it makes it,
// in one transaction with the proof of the ring, unless another node was faster.
func (in *installation) defaultFront(ctx context.Context) (identity.Front, error) {
	front, err := in.db.DefaultFront()
	if !errors.Is(err, storage.ErrNotFound) {
		return front, err
	}
	id, err := identity.NewID(identity.KindFront, time.Now(), rand.Reader)
	if err != nil {
		return front, err
	}
	first := identity.Front{ID: id, Issuer: in.config.Issuer.String(), RPID: in.config.WebAuthn.RPID, CreatedAt: time.Now()}
	proof := in.ring.Seal(ringContext, []byte(id))
	err = in.db.Tx(ctx, func(tx *storage.Tx) error {
		if _, err := tx.DefaultFront(); !errors.Is(err, storage.ErrNotFound) {
			return err // another node was faster
		}
		if err := tx.CreateFront(first); err != nil {
			return err
		}
		return tx.CreateRingProof(proof)
	})
	if err != nil {
		return front, err
	}
	return in.db.DefaultFront()
}

// settleIssuer moves the front to the configured issuer, for a server; a command
// that was given another one was given the wrong configuration. The relying-party
// id stays what passkeys know.
func (in *installation) settleIssuer(ctx context.Context, why intent, log *slog.Logger) error {
	before, now := in.front.Issuer, in.config.Issuer.String()
	if before == now {
		return nil
	}
	if why != toServe {
		return fmt.Errorf("the issuer of this installation is %s, the configuration says %s: give the command the configuration of the server (--config); only simplon serve changes an issuer", before, now)
	}
	log.Warn("the issuer changed: applications that know the old one must learn the new one", slog.String("before", before), slog.String("now", now))
	in.front.Issuer = now
	return in.db.Tx(ctx, func(tx *storage.Tx) error { return tx.MoveFront(in.front.ID, now) })
}
