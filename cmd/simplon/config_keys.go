package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"simplon/secret"
)

// option is one key of the configuration: its name, the field it fills, the
// bounds of a number, and what config.example.yaml says about it.
type option struct {
	key    string
	field  any   // *string *bool *int *Duration *Bytes *URL *secret.Text *List *CIDRs
	lo, hi int64 // inclusive, in the field's own unit; both 0 where there are none
	oneOf  []string
	doc    string
}

// configOptions is the table of all keys, in the order of config.example.yaml.
// A key that is not here does not exist; a test proves that every field of
// Config is.
func configOptions(c *Config) []option {
	return slices.Concat(addressOptions(c), passwordOptions(c), limitOptions(c), lifetimeOptions(c), serverOptions(c))
}

func addressOptions(c *Config) []option {
	return []option{
		{key: "issuer", field: &c.Issuer, doc: "The address people and applications use: https, a host, no path, no slash at the end. http is for this machine only (localhost, 127.0.0.1, [::1]). Choose it once: tokens, passkeys and every application hold it."},
		{key: "listen", field: &c.Listen, doc: "Address or list of addresses of the public listener, host:port. Empty: the issuer's own port on 127.0.0.1 and ::1 for an http issuer; every interface on the issuer's port where tls.cert_file is set; else 127.0.0.1:8080 and [::1]:8080, for a proxy on this machine."},
		{key: "private_listen", field: &c.PrivateListen, doc: "Health, readiness and metrics: a loopback address host:port, unix:/path/to/socket (for the user of the server only), or off."},
		{key: "data_dir", field: &c.DataDir, doc: "Folder for the key ring, the admin socket, the set-up link and the SQLite database; made with 0700 if it is missing, refused if everybody may write into it. Relative to the working directory."},
		{key: "database.url", field: &c.Database.URL, doc: "sqlite:/path/to/file, or postgres://user:password@host/name?sslmode=verify-full. Empty: sqlite, simplon.db in data_dir. With a password in it, this file must not be readable by others (0600 or 0640); or name a file that holds the URL in SIMPLON_DATABASE_URL_FILE."},
		{key: "database.max_conns", field: &c.Database.MaxConns, lo: 2, hi: 1000, doc: "Connections to PostgreSQL, or reading connections to SQLite, at most."},
		{key: "trusted_proxies", field: &c.TrustedProxies, doc: "Networks of the reverse proxies in front. The client's address is the rightmost X-Forwarded-For hop outside of them; with none, the header is ignored. Empty: none; but where the issuer is https, tls.cert_file is empty and every listener is on loopback, then 127.0.0.0/8 and ::1, because only a proxy on this machine can be in front."},
		{key: "tls.cert_file", field: &c.TLS.CertFile, doc: "Certificate chain of the public listener, PEM. Empty: plain HTTP, on loopback or behind trusted_proxies."},
		{key: "tls.key_file", field: &c.TLS.KeyFile, doc: "Private key of the certificate, PEM, not readable by others."},
		{key: "support.contact", field: &c.Support.Contact, doc: "What a person who is stuck is told: a mail address, a phone number or an http address. Empty: pages name nobody."},
		{key: "support.privacy_url", field: &c.Support.PrivacyURL, doc: "Address of your privacy notice, linked at the foot of every page. Empty: no link."},
		{key: "webauthn.rp_id", field: &c.WebAuthn.RPID, doc: "Domain that passkeys are bound to: the issuer's host or a parent of it. Stored at first start and fixed from then on. Empty: the issuer's host."},
	}
}

func passwordOptions(c *Config) []option {
	return []option{
		{key: "password.min_length", field: &c.Password.MinLength, lo: 8, hi: 128, doc: "Characters of a new password, at least (NIST SP 800-63B-4: 15 where the password stands alone)."},
		{key: "password.memory", field: &c.Password.Memory, lo: int64(7 * mebibyte), hi: secret.MaxMemoryKiB * int64(kibibyte), doc: "Memory of one argon2id hash. Memory times time must be 35MiB or more (OWASP)."},
		{key: "password.time", field: &c.Password.Time, lo: 1, hi: secret.MaxTime, doc: "Passes of argon2id over that memory."},
		{key: "password.threads", field: &c.Password.Threads, lo: 1, hi: secret.MaxThreads, doc: "Threads of one argon2id hash."},
		{key: "password.slots", field: &c.Password.Slots, lo: 0, hi: 1024, doc: "Hashes computed at a time. 0: one fewer than the machine has cores."},
		{key: "password.queue", field: &c.Password.Queue, lo: 1, hi: 10_000, doc: "Hashes that may wait; beyond it the answer is 503 with Retry-After."},
		{key: "lockout.threshold", field: &c.Lockout.Threshold, lo: 3, hi: 20, doc: "Wrong passwords in a row that lock an account for unknown browsers, or one known browser for itself."},
		{key: "lockout.wait", field: &c.Lockout.Wait, lo: int64(second), hi: int64(7 * day), doc: "How long the first lock lasts; each further one doubles."},
		{key: "lockout.wait_max", field: &c.Lockout.WaitMax, lo: int64(second), hi: int64(30 * day), doc: "The longest lock."},
		{key: "lockout.password_failures", field: &c.Lockout.PasswordFailures, lo: 20, hi: 100, doc: "Wrong passwords in all, without a completed sign-in between, after which the password is off until recovery (NIST SP 800-63B-4: at most 100)."},
	}
}

func limitOptions(c *Config) []option {
	return []option{
		{key: "limits.sign_ins_per_browser", field: &c.Limits.SignInsPerBrowser, lo: 2, hi: 100, doc: "Unfinished sign-ins of one browser; the oldest gives way."},
		{key: "limits.sign_ins_per_address", field: &c.Limits.SignInsPerAddress, lo: 10, hi: 100_000, doc: "Unfinished sign-ins of one client network (IPv4 /32, IPv6 /64)."},
		{key: "limits.guesses_per_minute", field: &c.Limits.GuessesPerMinute, lo: 1, hi: 100_000, doc: "Passwords sent from one client network (IPv4 /32, IPv6 /64) per minute; as many may come at once."},
		{key: "limits.body", field: &c.Limits.Body, lo: int64(4 * kibibyte), hi: int64(16 * mebibyte), doc: "Size of a request's body."},
		{key: "limits.query", field: &c.Limits.Query, lo: int64(2 * kibibyte), hi: int64(256 * kibibyte), doc: "Size of a request's query string."},
	}
}

func lifetimeOptions(c *Config) []option {
	short, long := int64(second), int64(3650*day)
	return []option{
		{key: "ttl.sign_in", field: &c.TTL.SignIn, lo: short, hi: int64(day), doc: "An unfinished sign-in."},
		{key: "ttl.session", field: &c.TTL.Session, lo: short, hi: int64(180 * day), doc: "A session, at most; it also ends with the browser."},
		{key: "ttl.device", field: &c.TTL.Device, lo: short, hi: long, doc: "How long a browser counts as known after a complete sign-in."},
		{key: "ttl.code", field: &c.TTL.Code, lo: short, hi: int64(10 * minute), doc: "An authorization code (RFC 6749, section 4.1.2: ten minutes at most)."},
		{key: "ttl.access_token", field: &c.TTL.AccessToken, lo: short, hi: int64(day), doc: "An access token."},
		{key: "ttl.id_token", field: &c.TTL.IDToken, lo: short, hi: int64(day), doc: "An ID token."},
		{key: "ttl.refresh_idle", field: &c.TTL.RefreshIdle, lo: short, hi: long, doc: "A refresh token that is not used."},
		{key: "ttl.refresh_absolute", field: &c.TTL.RefreshAbsolute, lo: short, hi: long, doc: "A chain of refresh tokens, however often it is used."},
		{key: "ttl.refresh_grace", field: &c.TTL.RefreshGrace, lo: short, hi: int64(10 * minute), doc: "How long a spent refresh token still answers with the very same successor, for clients whose answer was lost; later use ends the grant."},
		{key: "ttl.handoff", field: &c.TTL.Handoff, lo: short, hi: int64(10 * minute), doc: "The one-use handle between a form posted from another site and the page that continues it."},
		{key: "ttl.setup_link", field: &c.TTL.SetupLink, lo: short, hi: int64(7 * day), doc: "A set-up link."},
	}
}

func serverOptions(c *Config) []option {
	return []option{
		{key: "signing.algorithms", field: &c.Signing.Algorithms, doc: "Algorithms of ID tokens, from ES256, EdDSA, RS256; each has its own key. An application registered without a choice gets RS256, which every library knows, or the first of the list where RS256 is not in it."},
		{key: "demo.listen", field: &c.Demo.Listen, doc: "Address of the demo application, host:port on loopback; only with serve --demo."},
		{key: "log.level", field: &c.Log.Level, oneOf: []string{"debug", "info", "warn", "error"}, doc: "debug, info, warn or error."},
		{key: "debug.pprof", field: &c.Debug.Pprof, doc: "Serve Go profiles at /debug/pprof on the private listener."},
	}
}

// set parses a text into the option's field. The error does not name the key,
// and never holds a secret's text.
func (o option) set(text string) error {
	var err error
	switch field := o.field.(type) {
	case *string:
		*field = text
	case *bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		*field = text == "true"
	case *int:
		n, convErr := strconv.ParseInt(text, 10, 0)
		if convErr != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*field = int(n)
	case *Duration:
		*field, err = parseDuration(text)
	case *Bytes:
		*field, err = parseBytes(text)
	case *URL:
		*field, err = parseURL(text)
	case *secret.Text:
		*field = secret.Text(text)
	default:
		return o.setList(splitList(text))
	}
	return err
}

// isList reports whether the option takes several values.
func (o option) isList() bool {
	switch o.field.(type) {
	case *List, *CIDRs:
		return true
	}
	return false
}

// isSecret reports whether the option's value must not be shown.
func (o option) isSecret() bool {
	_, ok := o.field.(*secret.Text)
	return ok
}

func (o option) setList(items []string) error {
	switch field := o.field.(type) {
	case *List:
		*field = items
	case *CIDRs:
		var prefixes []netip.Prefix
		for _, item := range items {
			p, err := parseCIDR(item)
			if err != nil {
				return err
			}
			prefixes = append(prefixes, p)
		}
		*field = prefixes
	}
	return nil
}

func splitList(text string) []string {
	if text == "" {
		return nil
	}
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		items = append(items, strings.TrimSpace(item))
	}
	return items
}

// number returns the option's value for the check against its bounds.
func (o option) number() (n int64, ok bool) {
	switch field := o.field.(type) {
	case *int:
		return int64(*field), true
	case *Duration:
		return int64(*field), true
	case *Bytes:
		return int64(*field), true
	}
	return 0, false
}

// bound writes a bound in the option's unit.
func (o option) bound(n int64) string {
	switch o.field.(type) {
	case *Duration:
		return Duration(n).String()
	case *Bytes:
		return Bytes(n).String()
	}
	return strconv.FormatInt(n, 10)
}

// variable is the name of the environment variable that overrides the option.
func (o option) variable() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(o.key, ".", "_"))
}
