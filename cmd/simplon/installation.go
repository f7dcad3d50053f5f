package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"runtime"
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

// openInstallation opens the database, brings its schema up to date, loads or
// makes the key ring and the default front.
func openInstallation(ctx context.Context, c Config, log *slog.Logger) (*installation, error) {
	in := &installation{config: c, source: secret.NewSource(rand.Reader)}
	var err error
	in.db, err = storage.Open(ctx, sqldb.Config{URL: c.Database.URL.Reveal(), MaxConns: c.Database.MaxConns, Now: time.Now})
	if err != nil {
		return nil, err
	}
	if err := in.open(ctx, log); err != nil {
		return nil, errors.Join(err, in.db.Close())
	}
	return in, nil
}

func (in *installation) open(ctx context.Context, log *slog.Logger) error {
	c := in.config
	if err := in.db.Migrate(ctx, sqldb.MigrateOptions{Copy: true, Log: log}); err != nil {
		return err
	}
	var err error
	if in.ring, err = in.keyRing(); err != nil {
		return err
	}
	in.pool, err = secret.NewPool(secret.PoolConfig{
		Params: secret.Params{MemoryKiB: uint32(c.Password.Memory / kibibyte), Time: uint32(c.Password.Time), Threads: uint8(c.Password.Threads)},
		Slots:  c.Password.HashSlots(runtime.GOMAXPROCS(0)), Queue: c.Password.Queue})
	if err != nil {
		return err
	}
	if in.front, err = in.defaultFront(ctx, log); err != nil {
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

// keyRing loads data_dir/keys.json. It is made only for a database that nobody
// used yet: a new ring beside old data would open none of it.
func (in *installation) keyRing() (*secret.Ring, error) {
	path := filepath.Join(in.config.DataDir, "keys.json")
	ring, err := secret.LoadRing(path)
	if !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return nil, fmt.Errorf("key ring %s: %w", path, err)
		}
		return ring, nil
	}
	if _, err := in.db.DefaultFront(); err == nil {
		return nil, fmt.Errorf("the database is in use, but %s is missing: copy it from where this installation ran before, or from another node", path)
	} else if !errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	ring = secret.NewRing(in.source, time.Now())
	if err := ring.Save(path); err != nil {
		return nil, fmt.Errorf("key ring: %w", err)
	}
	return ring, nil
}

// defaultFront returns the front that the issuer names, made at first start. A
// changed issuer moves it; its relying-party id stays what passkeys know.
func (in *installation) defaultFront(ctx context.Context, log *slog.Logger) (identity.Front, error) {
	issuer := in.config.Issuer.String()
	front, err := in.db.DefaultFront()
	if errors.Is(err, storage.ErrNotFound) {
		id, err := identity.NewID(identity.KindFront, time.Now(), rand.Reader)
		if err != nil {
			return front, err
		}
		made := identity.Front{ID: id, Issuer: issuer, RPID: in.config.WebAuthn.RPID, CreatedAt: time.Now()}
		err = in.db.Tx(ctx, func(tx *storage.Tx) error {
			if _, err := tx.DefaultFront(); !errors.Is(err, storage.ErrNotFound) {
				return err // another node was faster
			}
			return tx.CreateFront(made)
		})
		if err != nil {
			return front, fmt.Errorf("front: %w", err)
		}
		front, err = in.db.DefaultFront()
		if err != nil {
			return front, fmt.Errorf("front: %w", err)
		}
	} else if err != nil {
		return front, fmt.Errorf("front: %w", err)
	}
	if front.Issuer == issuer {
		return front, nil
	}
	log.Warn("the issuer changed: applications that know the old one must learn the new one", slog.String("before", front.Issuer), slog.String("now", issuer))
	front.Issuer = issuer
	return front, in.db.Tx(ctx, func(tx *storage.Tx) error { return tx.MoveFront(front.ID, issuer) })
}
