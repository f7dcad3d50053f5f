package secret

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/zitadel/passwap"
	"github.com/zitadel/passwap/argon2"
	"github.com/zitadel/passwap/bcrypt"
	"github.com/zitadel/passwap/verifier"
)

// Defaults of [Params] and [PoolConfig]: 19 MiB, two passes, one thread (OWASP's
// second choice for argon2id), and 64 waiting for each class.
const (
	defaultMemoryKiB = 19456
	defaultTime      = 2
	defaultThreads   = 1
	defaultQueue     = 64
)

const (
	maxPassword = 1024 // bytes; longer ones are refused, never cut (A38)
	saltBytes   = 16
	sumBytes    = 32
)

// Errors of the pool.
var (
	// ErrBusy tells that as many wait as may: answer 503 with Retry-After.
	ErrBusy = errors.New("secret: too many wait for a password hash")
	// ErrTooLong tells that a password has more than 1,024 bytes.
	ErrTooLong = errors.New("secret: password longer than 1024 bytes")
	// ErrReleased tells that a ticket was used after its release.
	ErrReleased = errors.New("secret: ticket was released")
)

// Params are the costs of argon2id. A zero field means its default: 19456 KiB, 2
// passes, 1 thread.
type Params struct {
	MemoryKiB uint32 // 8 per thread to MaxMemoryKiB
	Time      uint32 // passes over the memory, 1 to MaxTime
	Threads   uint8  // lanes, 1 to MaxThreads
}

// PoolConfig says what a [Pool] computes and how much at a time.
type PoolConfig struct {
	Params Params
	Slots  int // hashes at a time; 0 means GOMAXPROCS less one, at least one
	Queue  int // waiting for admission, per class; 0 means 64
}

// Pool computes password hashes, at most Slots at a time, for those it admitted.
// It is safe for concurrent use. Construct it with [NewPool].
//
// There are two limits. A [Ticket] is the right to have hashes computed. Its
// holder runs a short transaction, then the hash, then another transaction, so
// 2*Slots+2 tickets exist to keep the slots busy meanwhile, and the queue bound
// counts those who wait for a ticket. The hash itself then waits for one of the
// slots, which is short: at most the other tickets are ahead of it.
type Pool struct {
	params Params
	argon2 passwap.Hasher
	bcrypt verifier.Verifier
	dummy  string

	gate   gate
	slots  chan struct{} // one element for each hash that runs
	hashes atomic.Uint64
}

// NewPool checks the configuration and returns a pool. It starts no goroutine
// and computes no hash, so it costs nothing at start.
func NewPool(c PoolConfig) (*Pool, error) {
	params := c.Params.orDefault()
	if err := params.check(); err != nil {
		return nil, fmt.Errorf("new hash pool: %w", err)
	}
	if c.Slots < 0 || c.Queue < 0 {
		return nil, fmt.Errorf("new hash pool: negative slots (%d) or queue (%d)", c.Slots, c.Queue)
	}
	slots := c.Slots
	if slots == 0 {
		slots = max(1, runtime.GOMAXPROCS(0)-1)
	}
	queue := c.Queue
	if queue == 0 {
		queue = defaultQueue
	}
	p := &Pool{
		params: params,
		argon2: argon2.NewArgon2id(argon2.Params{
			Memory: params.MemoryKiB, Time: params.Time, Threads: params.Threads,
			SaltLen: saltBytes, KeyLen: sumBytes,
		}, nil),
		bcrypt: bcrypt.NewVerifier(nil),
		slots:  make(chan struct{}, slots),
		gate:   gate{size: 2*slots + 2, bound: queue},
	}
	p.dummy = dummyHash(params, production())
	return p, nil
}

func (p Params) orDefault() Params {
	if p.MemoryKiB == 0 {
		p.MemoryKiB = defaultMemoryKiB
	}
	if p.Time == 0 {
		p.Time = defaultTime
	}
	if p.Threads == 0 {
		p.Threads = defaultThreads
	}
	return p
}

// dummyHash returns a well-formed hash of no password: checking against it costs
// what any check costs, and making it up costs nothing.
func dummyHash(p Params, src *Source) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", p.MemoryKiB, p.Time, p.Threads,
		b64.EncodeToString(src.Bytes(saltBytes)), b64.EncodeToString(src.Bytes(sumBytes)))
}

// Admit waits for a ticket. Known means that the browser proved itself (a valid
// device): while both kinds wait, known ones come first until they hold half of
// the tickets. It returns [ErrBusy] at once when the queue of that kind is full,
// and ctx's error if ctx ends first. Release the ticket after use.
//
// Admit before the transaction that reserves an attempt, so that shedding load
// costs neither a row nor an attempt.
func (p *Pool) Admit(ctx context.Context, known bool) (*Ticket, error) {
	class := classUnknown
	if known {
		class = classKnown
	}
	if err := p.gate.enter(ctx, class); err != nil {
		return nil, fmt.Errorf("admit to hash pool: %w", err)
	}
	return &Ticket{pool: p, class: class}, nil
}

// Counts returns how many hashes were computed so far (by Hash, Verify, its
// rehash, and both dummies alike), how many wait for a ticket, and how many
// hashes run now.
func (p *Pool) Counts() (hashes uint64, waiting int, busy int) {
	return p.hashes.Load(), p.gate.waiting(), len(p.slots)
}

// Ticket is the right to have hashes computed until it is released. It is safe
// for concurrent use.
type Ticket struct {
	pool     *Pool
	class    int
	released atomic.Bool
}

// Release gives the ticket back. Further calls do nothing.
func (t *Ticket) Release() {
	if t.released.CompareAndSwap(false, true) {
		t.pool.gate.leave(t.class)
	}
}

// Hash returns the argon2id hash of password in PHC string format with a fresh
// salt. Errors: [ErrTooLong], [ErrReleased]. The caller normalises the password
// and seals the result before it stores it.
func (t *Ticket) Hash(password string) (encoded string, err error) {
	err = t.run(password, func() error {
		encoded, err = t.pool.hash(password)
		return err
	})
	return encoded, err
}

// Verify tells whether password is the one encoded was made from: argon2id,
// argon2i, or bcrypt, which looks at 72 bytes only. Where it is and encoded is
// not of today's kind and parameters, rehash is the hash to store instead.
// Errors: [ErrEncoded] without any work done, [ErrTooLong], [ErrReleased].
func (t *Ticket) Verify(encoded, password string) (ok bool, rehash string, err error) {
	kind, _, err := inspect(encoded)
	if err != nil {
		return false, "", err
	}
	err = t.run(password, func() error {
		result, err := t.pool.verify(kind, encoded, password)
		if err != nil {
			return err
		}
		ok = result != verifier.Fail
		if ok && (kind != kindArgon2 || result == verifier.NeedUpdate) {
			rehash, err = t.pool.hash(password)
		}
		return err
	})
	if err != nil {
		return false, "", err
	}
	return ok, rehash, nil
}

// Dummy does the work of a [Ticket.Verify] that fails against a hash of today's
// parameters, for accounts that do not exist (A21). Like Verify it does nothing
// for a password that is too long or on a released ticket.
func (t *Ticket) Dummy(password string) {
	_, _, _ = t.Verify(t.pool.dummy, password)
}

// DummyLike does the work of checking against encoded and looks at nothing: for
// a locked lane, where not even the right password may be told apart. It falls
// back to [Ticket.Dummy] if encoded is refused.
func (t *Ticket) DummyLike(encoded, password string) {
	kind, _, err := inspect(encoded)
	if err != nil {
		t.Dummy(password)
		return
	}
	_ = t.run(password, func() error {
		_, err := t.pool.verify(kind, encoded, password)
		return err
	})
}

// run waits for a slot and calls f in it.
func (t *Ticket) run(password string, f func() error) error {
	if len(password) > maxPassword {
		return ErrTooLong
	}
	if t.released.Load() {
		return ErrReleased
	}
	t.pool.slots <- struct{}{}
	defer func() { <-t.pool.slots }()
	return f()
}

func (p *Pool) hash(password string) (string, error) {
	p.hashes.Add(1)
	encoded, err := p.argon2.Hash(password)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return encoded, nil
}

// verify computes what inspect accepted as kind.
func (p *Pool) verify(k kind, encoded, password string) (verifier.Result, error) {
	p.hashes.Add(1)
	checker := verifier.Verifier(p.argon2)
	if k == kindBcrypt {
		checker = p.bcrypt
	}
	result, err := checker.Verify(encoded, password)
	if err != nil {
		return verifier.Fail, fmt.Errorf("%w: %w", ErrEncoded, err)
	}
	if result == verifier.Skip {
		return verifier.Fail, refuse("unknown kind")
	}
	return result, nil
}
