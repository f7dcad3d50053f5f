package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Validate refuses what is well-formed but must not run: an issuer that is not
// one, passwords sent in clear over a network, numbers out of bounds, secrets
// that others on the machine can read, secrets from an example. It returns every
// refusal at once, joined, each with the place its value came from. It reads
// the certificate and permissions of files and opens no connection.
func (c Config) Validate() error {
	var errs []error
	errs = append(errs, c.checkBounds()...)
	errs = append(errs, c.checkIssuer()...)
	errs = append(errs, c.checkListeners()...)
	errs = append(errs, c.checkTLS()...)
	errs = append(errs, c.checkDatabase()...)
	errs = append(errs, c.checkSecretFiles()...)
	errs = append(errs, c.checkRelations()...)
	return errors.Join(errs...)
}

func (c *Config) checkBounds() []error {
	var errs []error
	for _, o := range configOptions(c) {
		if n, ok := o.number(); ok && (n < o.lo || n > o.hi) {
			errs = append(errs, c.wrong(o.key, "%s is out of range; from %s to %s", o.bound(n), o.bound(o.lo), o.bound(o.hi)))
		}
		if text, ok := o.field.(*string); ok && o.oneOf != nil && !slices.Contains(o.oneOf, *text) {
			errs = append(errs, c.wrong(o.key, "%q is none of %s", *text, strings.Join(o.oneOf, ", ")))
		}
	}
	return errs
}

// checkIssuer holds the issuer to RFC 8414, section 2 (https, no query, no
// fragment) and further: no path, so that every page and cookie has one root,
// and one spelling, because issuers are compared byte for byte.
func (c *Config) checkIssuer() []error {
	u := c.Issuer.url
	host := u.Hostname()
	refuse := func(format string, args ...any) []error { return []error{c.wrong("issuer", format, args...)} }
	switch {
	case c.Issuer.IsZero():
		return refuse("must be set")
	case u.User != nil:
		return refuse("must not hold a user name or password")
	case u.RawQuery != "" || u.ForceQuery:
		return refuse("must not have a query")
	case strings.Contains(c.Issuer.String(), "#"):
		return refuse("must not have a fragment")
	case u.Path == "/":
		return refuse("must not end with a slash; write %s://%s", u.Scheme, u.Host)
	case u.Path != "":
		return refuse("must not have a path; write %s://%s", u.Scheme, u.Host)
	case u.Scheme == "http" && !c.Issuer.Loopback():
		return refuse("must be https; http is for localhost, 127.0.0.1 and [::1] only")
	case c.Issuer.String() != strings.ToLower(c.Issuer.String()) || strings.HasSuffix(host, "."):
		return refuse("must be in lower case, without a dot at the end")
	case strings.HasSuffix(u.Host, ":") || u.Port() == "443" && u.Scheme == "https" || u.Port() == "80" && u.Scheme == "http":
		return refuse("must leave out the scheme's own port, as browsers do")
	case !plainHost(host) || !validPort(c.Issuer.Port()):
		return refuse("has no usable host and port (write an international name in its xn-- form)")
	}
	return nil
}

// plainHost reports whether a host is an address or a name of letters, digits,
// hyphens and dots.
func plainHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == ""
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
				return false
			}
		}
	}
	return len(host) <= 253
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// checkListenAddress accepts port 0 too: the system picks one, as tests want it.
func checkListenAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no usable port", address)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !plainHost(strings.ToLower(host)) {
		return fmt.Errorf("%q has no usable host", address)
	}
	return nil
}

func (c *Config) checkListeners() []error {
	var errs []error
	for i, address := range c.Listen {
		switch err := checkListenAddress(address); {
		case err != nil:
			errs = append(errs, c.wrong("listen", "%s", err))
		case slices.Contains(c.Listen[:i], address):
			errs = append(errs, c.wrong("listen", "%q stands twice", address))
		case !loopbackAddress(address) && c.TLS.CertFile == "" && len(c.TrustedProxies) == 0:
			errs = append(errs, c.wrong("listen", "%q is open to the network and would carry passwords in clear; listen on loopback, set tls.cert_file, or name the proxy that holds the certificate in trusted_proxies", address))
		}
	}
	for _, p := range c.TrustedProxies {
		if p.Bits() == 0 {
			errs = append(errs, c.wrong("trusted_proxies", "%s trusts everybody; name the proxies", p))
		}
	}
	if path, unix := strings.CutPrefix(c.PrivateListen, "unix:"); unix {
		if path == "" {
			errs = append(errs, c.wrong("private_listen", "unix: needs a path"))
		}
	} else if c.PrivateListen != "off" {
		if err := checkListenAddress(c.PrivateListen); err != nil {
			errs = append(errs, c.wrong("private_listen", "%s; write host:port, unix:/path or off", err))
		} else if !loopbackAddress(c.PrivateListen) {
			errs = append(errs, c.wrong("private_listen", "%q is open to the network; use a loopback address or unix:/path", c.PrivateListen))
		}
	}
	if err := checkListenAddress(c.Demo.Listen); err != nil {
		errs = append(errs, c.wrong("demo.listen", "%s", err))
	} else if !loopbackAddress(c.Demo.Listen) {
		errs = append(errs, c.wrong("demo.listen", "%q is open to the network; the demo is for this machine only", c.Demo.Listen))
	}
	return errs
}

func (c *Config) checkTLS() []error {
	cert, key := c.TLS.CertFile, c.TLS.KeyFile
	switch {
	case cert == "" && key == "":
		return nil
	case key == "":
		return []error{c.wrong("tls.cert_file", "needs tls.key_file as well")}
	case cert == "":
		return []error{c.wrong("tls.key_file", "needs tls.cert_file as well")}
	case c.Issuer.Scheme() == "http":
		return []error{c.wrong("tls.cert_file", "contradicts an http issuer; make the issuer https")}
	}
	var errs []error
	if _, err := os.Stat(cert); err != nil {
		errs = append(errs, c.wrong("tls.cert_file", "%s", err))
	}
	if info, err := os.Stat(key); err != nil {
		errs = append(errs, c.wrong("tls.key_file", "%s", err))
	} else if tooOpen(info.Mode()) {
		errs = append(errs, c.wrong("tls.key_file", "%s can be read by others (%04o); chmod 600 it", key, info.Mode().Perm()))
	}
	if errs == nil {
		if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
			errs = append(errs, c.wrong("tls.cert_file", "%s and %s are no pair to serve with: %s", cert, key, err))
		}
	}
	return errs
}

// tooOpen reports permissions that let strangers on the machine read a file, or
// anyone but its owner change it.
func tooOpen(mode os.FileMode) bool { return mode.Perm()&0o027 != 0 }

// holdsPassword reports whether a database URL carries a password.
func holdsPassword(databaseURL string) bool {
	if strings.HasPrefix(databaseURL, "sqlite:") || databaseURL == "" {
		return false
	}
	u, err := url.Parse(databaseURL)
	if err != nil {
		return true // unreadable: assume the worst
	}
	_, inUser := u.User.Password()
	return inUser || u.Query().Has("password")
}

func (c *Config) checkDatabase() []error {
	const key = "database.url"
	text := c.Database.URL.Reveal()
	if path, ok := strings.CutPrefix(text, "sqlite:"); ok {
		if path == "" {
			return []error{c.wrong(key, "sqlite: needs a path")}
		}
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return []error{c.wrong(key, "must begin with sqlite: or postgres:// (a password in it percent-encoded)")}
	}
	password, _ := u.User.Password()
	if password == "" {
		password = u.Query().Get("password")
	}
	switch strings.ToLower(password) {
	case "password", "change-me", "changeme", "secret", "example":
		return []error{c.wrong(key, "holds an example password; set one of your own")}
	}
	return nil
}

func (c *Config) checkSecretFiles() []error {
	var errs []error
	for _, f := range c.source.secrets {
		if tooOpen(f.perm) {
			errs = append(errs, fmt.Errorf("%s: %s holds a secret and can be read by others (%04o); chmod 600 it", f.at, f.path, f.perm))
		}
	}
	return errs
}

// checkRelations holds keys against each other.
func (c *Config) checkRelations() []error {
	var errs []error
	refuse := func(bad bool, key, format string, args ...any) {
		if bad {
			errs = append(errs, c.wrong(key, format, args...))
		}
	}
	refuse(c.DataDir == "", "data_dir", "must be set")
	host, rp := c.Issuer.Hostname(), c.WebAuthn.RPID
	refuse(rp != host && (!strings.HasSuffix(host, "."+rp) || !strings.Contains(rp, ".")), "webauthn.rp_id",
		"%q is neither the issuer's host %q nor a parent domain of it", rp, host)
	refuse(c.Password.Memory < 35*mebibyte/Bytes(max(1, c.Password.Time)), "password.memory",
		"%s with password.time %d is too cheap to guess; memory times time must be 35MiB or more", c.Password.Memory, c.Password.Time)
	refuse(c.Lockout.Wait > c.Lockout.WaitMax, "lockout.wait", "%s is longer than lockout.wait_max, %s", c.Lockout.Wait, c.Lockout.WaitMax)
	refuse(c.TTL.RefreshIdle > c.TTL.RefreshAbsolute, "ttl.refresh_idle", "%s is longer than ttl.refresh_absolute, %s", c.TTL.RefreshIdle, c.TTL.RefreshAbsolute)
	refuse(c.TTL.RefreshGrace >= c.TTL.RefreshIdle, "ttl.refresh_grace", "%s is not shorter than ttl.refresh_idle, %s", c.TTL.RefreshGrace, c.TTL.RefreshIdle)
	refuse(len(c.Signing.Algorithms) == 0, "signing.algorithms", "needs at least one of %s", strings.Join(defaultConfig().Signing.Algorithms, ", "))
	for i, alg := range c.Signing.Algorithms {
		refuse(!slices.Contains(defaultConfig().Signing.Algorithms, alg), "signing.algorithms", "%q is none of %s", alg, strings.Join(defaultConfig().Signing.Algorithms, ", "))
		refuse(slices.Contains(c.Signing.Algorithms[:i], alg), "signing.algorithms", "%q stands twice", alg)
	}
	contact := c.Support.Contact
	refuse(strings.ContainsFunc(contact, func(r rune) bool { return r < ' ' || r == 0x7f }), "support.contact", "must be one line")
	return errs
}
