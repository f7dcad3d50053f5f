package identity

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// ErrRedirectURI is wrapped by every refusal to register a redirect URI.
var ErrRedirectURI = errors.New("redirect URI refused")

func refuseURI(uri, why string) error {
	return fmt.Errorf("%w: %q: %s", ErrRedirectURI, uri, why)
}

// CheckRedirectURI tells whether a client of the kind may register the URI
// (RFC 9700, section 4.1.3; RFC 8252, section 7): absolute, no fragment, no user
// information, no wildcard; https anywhere, http on loopback only; custom
// schemes only for native clients and only in reverse-domain form.
func CheckRedirectURI(kind ClientKind, uri string) error {
	if len(uri) > 2000 {
		return refuseURI(uri[:60]+"…", "longer than 2000 characters")
	}
	for i := range len(uri) {
		if uri[i] <= ' ' || uri[i] >= 0x7f || strings.IndexByte("\\\"'<>^`{|}*", uri[i]) >= 0 {
			return refuseURI(uri, fmt.Sprintf("character %q must not stand in it", uri[i]))
		}
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return refuseURI(uri, "not a URL")
	case strings.Contains(uri, "#"):
		return refuseURI(uri, "must not have a fragment")
	case u.User != nil || strings.Contains(u.Host, "@"):
		return refuseURI(uri, "must not have user information")
	case u.Scheme != strings.ToLower(u.Scheme) || u.Scheme != rawScheme(uri):
		return refuseURI(uri, "write the scheme in lower case")
	}
	switch u.Scheme {
	case "https":
		return checkAuthority(uri, u)
	case "http":
		if !IsLoopbackHost(u.Hostname()) {
			return refuseURI(uri, "http is for loopback addresses only; use https")
		}
		return checkAuthority(uri, u)
	}
	if kind != ClientNative {
		return refuseURI(uri, "only native applications may use a scheme of their own")
	}
	if !strings.Contains(u.Scheme, ".") || strings.HasPrefix(u.Scheme, ".") || strings.HasSuffix(u.Scheme, ".") {
		return refuseURI(uri, "a scheme of one's own must be a reversed domain name, such as com.example.app")
	}
	return nil
}

func rawScheme(uri string) string {
	scheme, _, _ := strings.Cut(uri, ":")
	return scheme
}

func checkAuthority(uri string, u *url.URL) error {
	if u.Opaque != "" || u.Hostname() == "" || !strings.HasPrefix(uri, u.Scheme+"://") {
		return refuseURI(uri, "no host in it")
	}
	if strings.ToLower(u.Host) != u.Host {
		return refuseURI(uri, "write the host in lower case")
	}
	return nil
}

// IsLoopbackHost tells whether a host name (without port) is this machine:
// localhost, 127.0.0.0/8 or ::1.
func IsLoopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" && addr.IsLoopback()
}

// MatchRedirectURI tells whether the raw redirect URI of a request is one of the
// registered ones, compared byte by byte (RFC 9700, section 2.1). The caller
// hands over the value as the query decoded it once, never decoded again. For a
// native client registered on a loopback IP the port alone may differ
// (RFC 8252, section 7.3).
func MatchRedirectURI(kind ClientKind, registered []string, raw string) bool {
	for _, uri := range registered {
		if raw == uri {
			return true
		}
	}
	if kind != ClientNative || CheckRedirectURI(kind, raw) != nil {
		return false
	}
	for _, uri := range registered {
		if loopbackMatch(uri, raw) {
			return true
		}
	}
	return false
}

func loopbackMatch(registered, raw string) bool {
	rHead, rTail, ok := cutPort(registered)
	if !ok {
		return false
	}
	head, tail, ok := cutPort(raw)
	return ok && head == rHead && tail == rTail
}

// cutPort splits http://127.0.0.1:1234/path?x into the part before and the part
// after the port. Only loopback IP literals over http qualify.
func cutPort(uri string) (head, tail string, ok bool) {
	rest, ok := strings.CutPrefix(uri, "http://")
	if !ok {
		return "", "", false
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		host, port = authority[:i], authority[i+1:]
	}
	for _, c := range port {
		if c < '0' || c > '9' {
			return "", "", false
		}
	}
	if host != "127.0.0.1" && host != "[::1]" {
		return "", "", false
	}
	return host, tail, true
}

// Origin returns scheme://host[:port] of a URL as a browser sends it in Origin,
// without the scheme's default port (RFC 6454, section 6.2), or "" where it has
// none.
func Origin(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	host := u.Host
	if port := u.Port(); port == "" || u.Scheme+port == "https443" || u.Scheme+port == "http80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return u.Scheme + "://" + host
}
