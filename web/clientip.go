package web

import (
	"net/http"
	"net/netip"
	"strings"
)

// maxHops bounds how much of a forwarded chain is read.
const maxHops = 32

// clientIP finds the client's address: the peer, or, when the peer is a
// trusted proxy, the rightmost hop of X-Forwarded-For that is not one. Hops
// further left are whatever the client wrote and are never read.
func (s *Site) clientIP(r *http.Request) netip.Addr {
	peer := peerAddr(r.RemoteAddr)
	if !peer.IsValid() || !s.trusted(peer) {
		return peer
	}
	return forwardedFor(peer, strings.Join(r.Header.Values("X-Forwarded-For"), ","), s.trusted)
}

// forwardedFor walks a chain from the right. A hop that is no address ends
// the walk at the last address known to be true, so garbage gains nothing.
func forwardedFor(peer netip.Addr, chain string, trusted func(netip.Addr) bool) netip.Addr {
	addr := peer
	for range maxHops {
		if chain == "" {
			return addr
		}
		var hop string
		if i := strings.LastIndexByte(chain, ','); i >= 0 {
			chain, hop = chain[:i], chain[i+1:]
		} else {
			chain, hop = "", chain
		}
		next := peerAddr(strings.Trim(hop, " \t"))
		if !next.IsValid() {
			return addr
		}
		addr = next
		if !trusted(addr) {
			return addr
		}
	}
	return addr
}

func (s *Site) trusted(addr netip.Addr) bool {
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// peerAddr reads "address", "address:port" or "[address]:port"; IPv4 in IPv6
// becomes IPv4 and zones go, so one client has one address.
func peerAddr(raw string) netip.Addr {
	if addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(raw, "["), "]")); err == nil {
		return addr.Unmap().WithZone("")
	}
	if ap, err := netip.ParseAddrPort(raw); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
