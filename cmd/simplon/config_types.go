package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time of one millisecond or more, written in Go's
// syntax with "d" (24 hours) as an additional leading unit: 90s, 30m, 12h,
// 365d, 1d12h.
type Duration time.Duration

const (
	second = Duration(time.Second)
	minute = Duration(time.Minute)
	hour   = Duration(time.Hour)
	day    = 24 * hour
)

// Std is the duration in the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes the shortest form that parseDuration reads back.
func (d Duration) String() string {
	days, rest := d/day, time.Duration(d%day)
	if rest == 0 && days > 0 {
		return fmt.Sprintf("%dd", days)
	}
	text := rest.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	if days > 0 {
		return fmt.Sprintf("%dd%s", days, text)
	}
	return text
}

func parseDuration(text string) (Duration, error) {
	rest, days := text, Duration(0)
	if head, tail, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(head, 10, 32)
		if err != nil || n > uint64(math.MaxInt64/int64(day)) {
			return 0, notDuration(text)
		}
		days, rest = Duration(n)*day, tail
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || strings.HasPrefix(rest, "+") || days+Duration(d) < days {
		return 0, notDuration(text)
	}
	return days + Duration(d), nil
}

func notDuration(text string) error {
	return fmt.Errorf("%q is not a duration; write for example 90s, 30m, 12h or 365d", text)
}

// Bytes is a size, written with B, KiB, MiB or GiB, or as a plain number of bytes.
type Bytes int64

const (
	kibibyte Bytes = 1 << 10
	mebibyte Bytes = 1 << 20
	gibibyte Bytes = 1 << 30
)

// String writes the size in the largest unit that divides it.
func (b Bytes) String() string {
	switch {
	case b == 0:
		return "0B"
	case b%gibibyte == 0:
		return fmt.Sprintf("%dGiB", b/gibibyte)
	case b%mebibyte == 0:
		return fmt.Sprintf("%dMiB", b/mebibyte)
	case b%kibibyte == 0:
		return fmt.Sprintf("%dKiB", b/kibibyte)
	}
	return fmt.Sprintf("%dB", int64(b))
}

func parseBytes(text string) (Bytes, error) {
	number, unit := text, Bytes(1)
	for _, u := range []struct {
		suffix string
		size   Bytes
	}{{"GiB", gibibyte}, {"MiB", mebibyte}, {"KiB", kibibyte}, {"B", 1}} {
		if head, ok := strings.CutSuffix(text, u.suffix); ok {
			number, unit = strings.TrimRight(head, " "), u.size
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n > uint64(math.MaxInt64/int64(unit)) {
		return 0, fmt.Errorf("%q is not a size; write for example 64KiB or 19MiB", text)
	}
	return Bytes(n) * unit, nil
}

// URL is an absolute http or https address, kept byte for byte as it was
// written, because an issuer is compared so (OpenID Connect Discovery 1.0,
// section 4.3). The zero value is "not set".
type URL struct {
	text string
	url  url.URL
}

func parseURL(text string) (URL, error) {
	if text == "" {
		return URL{}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		// url.Error repeats the whole text, which may hold a password.
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return URL{}, fmt.Errorf("not an address: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return URL{}, errors.New("not an absolute http or https address, such as https://id.example.org")
	}
	return URL{text: text, url: *u}, nil
}

// String is the address as it was written.
func (u URL) String() string { return u.text }

// IsZero reports whether no address was set.
func (u URL) IsZero() bool { return u.text == "" }

// Scheme is "http" or "https".
func (u URL) Scheme() string { return u.url.Scheme }

// Host is the host with its port if one was written.
func (u URL) Host() string { return u.url.Host }

// Hostname is the host without port and without the brackets of IPv6.
func (u URL) Hostname() string { return u.url.Hostname() }

// Port is the port as written, else the scheme's.
func (u URL) Port() string {
	if p := u.url.Port(); p != "" {
		return p
	}
	if u.url.Scheme == "https" {
		return "443"
	}
	return "80"
}

// Loopback reports whether the host is this machine: localhost, 127.0.0.0/8 or ::1.
func (u URL) Loopback() bool { return loopbackHost(u.url.Hostname()) }

func loopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() && addr.Zone() == ""
}

// loopbackAddress reports whether a listen address "host:port" is reachable
// from this machine only; an empty host means every interface.
func loopbackAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && loopbackHost(host)
}

// List is a list of texts; in YAML a sequence or one text, in the environment
// separated by commas.
type List []string

// CIDRs is a list of networks; an address alone is a network of one.
type CIDRs []netip.Prefix

// Contains reports whether an address lies in one of the networks. An
// IPv4 address mapped into IPv6 counts as the IPv4 address it is.
func (c CIDRs) Contains(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range c {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

func parseCIDR(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a network; write for example 10.0.0.0/8 or 2001:db8::1", text)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits beyond its length; write %s", text, p.Masked())
	}
	return p, nil
}
