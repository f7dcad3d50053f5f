package web

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
)

// kind says how a route answers errors.
type kind int

const (
	kindUnknown kind = iota // before a route was found: by the Accept header
	kindPage
	kindRaw
)

// requestState is the one context value of this package. It is shared by all
// copies of a request, so that a handler several layers down can add a log
// field or a language and Outer still sees it.
type requestState struct {
	id string
	ip netip.Addr

	mu        sync.Mutex
	attrs     []slog.Attr
	locales   string
	browser   string
	kind      kind
	noCookies bool
	// speculative: refused because nobody had gone there yet; no failure.
	speculative bool
}

type stateKey struct{}

func stateOf(ctx context.Context) *requestState {
	st, _ := ctx.Value(stateKey{}).(*requestState)
	return st
}

// begin returns r with a state, made when Outer did not already make one.
func (s *Site) begin(r *http.Request) (*http.Request, *requestState) {
	if st := stateOf(r.Context()); st != nil {
		return r, st
	}
	st := &requestState{id: s.newRequestID(), ip: s.clientIP(r)}
	return r.WithContext(context.WithValue(r.Context(), stateKey{}, st)), st
}

// crockford is Crockford's base 32: no I, L, O or U, so an id survives being
// read out on the telephone.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

func (s *Site) newRequestID() string {
	var raw [5]byte
	if _, err := io.ReadFull(s.cfg.Rand, raw[:]); err != nil {
		// The id is a name for a log line, no secret: a constant one is
		// better than refusing the request.
		return "0000-0000"
	}
	bits := uint64(raw[0])<<32 | uint64(raw[1])<<24 | uint64(raw[2])<<16 | uint64(raw[3])<<8 | uint64(raw[4])
	out := make([]byte, 0, 9)
	for i := range 8 {
		if i == 4 {
			out = append(out, '-')
		}
		out = append(out, crockford[bits>>(35-5*i)&31])
	}
	return string(out)
}

// RequestID returns the id of the request, like "8F3K-20QX": 8 Crockford
// characters (40 random bits). It is shown on error pages and stands in the
// log. Empty outside a request that went through Outer, Page or Raw.
func RequestID(ctx context.Context) string {
	if st := stateOf(ctx); st != nil {
		return st.id
	}
	return ""
}

// ClientIP returns the client's address as Outer found it (A24): the rightmost
// hop of X-Forwarded-For that is not a trusted proxy, or the peer. The zero
// Addr means the peer's address could not be read.
func ClientIP(r *http.Request) netip.Addr {
	if st := stateOf(r.Context()); st != nil {
		return st.ip
	}
	return peerAddr(r.RemoteAddr)
}

// AddLog adds fields to the request's one log line. Values of string and error
// kind lose their control characters. Never pass a secret.
func AddLog(r *http.Request, attrs ...slog.Attr) {
	st := stateOf(r.Context())
	if st == nil {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.attrs = append(st.attrs, attrs...)
}
