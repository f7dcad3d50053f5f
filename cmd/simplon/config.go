package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"simplon/secret"
)

// Config is everything an operator can set, after defaults, the file and the
// environment were merged by LoadConfig. It is a value: copy it freely, change
// nothing after start. The meaning, unit, default and bounds of each key stand
// in one table (configOptions), from which config.example.yaml is written.
type Config struct {
	Issuer         URL
	Listen         List
	PrivateListen  string
	DataDir        string
	Database       DatabaseConfig
	TrustedProxies CIDRs
	TLS            TLSConfig
	Support        SupportConfig
	WebAuthn       WebAuthnConfig
	Password       PasswordConfig
	Lockout        LockoutConfig
	Limits         LimitsConfig
	TTL            TTLConfig
	Signing        SigningConfig
	Demo           DemoConfig
	Log            LogConfig
	Debug          DebugConfig

	// source says where values came from, so that Validate can point there.
	source configSource
}

// DatabaseConfig says where the facts are kept.
type DatabaseConfig struct {
	URL      secret.Text // resolved: never empty after LoadConfig
	MaxConns int
}

// TLSConfig names the certificate of the public listener; both empty: plain
// HTTP, for loopback or behind a proxy that holds the certificate.
type TLSConfig struct {
	CertFile string
	KeyFile  string
}

// SupportConfig is what pages tell a person who is stuck.
type SupportConfig struct {
	Contact    string
	PrivacyURL URL
}

// WebAuthnConfig holds the relying party id that the default front is born with.
type WebAuthnConfig struct {
	RPID string // resolved: the issuer's host unless set
}

// PasswordConfig is the password rule and the cost of checking one.
type PasswordConfig struct {
	MinLength int   // characters
	Memory    Bytes // per hash
	Time      int   // argon2id passes
	Threads   int   // argon2id lanes
	Slots     int   // hashes at a time; 0: see HashSlots
	Queue     int   // hashes that may wait
}

// HashSlots is how many passwords are hashed at a time on a machine with that
// many cores: what is set, else one core fewer than there are, at least one, so
// that token and session traffic keeps a core under a flood of guesses.
func (p PasswordConfig) HashSlots(cores int) int {
	if p.Slots > 0 {
		return p.Slots
	}
	return max(1, cores-1)
}

// LockoutConfig bounds guessing of one account's password.
type LockoutConfig struct {
	Threshold        int
	Wait             Duration
	WaitMax          Duration
	PasswordFailures int
}

// LimitsConfig bounds what strangers can make the server do.
type LimitsConfig struct {
	SignInsPerBrowser int
	SignInsPerAddress int
	GuessesPerMinute  int
	Body              Bytes
	Query             Bytes
}

// TTLConfig is how long things live.
type TTLConfig struct {
	SignIn          Duration
	Session         Duration
	Device          Duration
	Code            Duration
	AccessToken     Duration
	IDToken         Duration
	RefreshIdle     Duration
	RefreshAbsolute Duration
	RefreshGrace    Duration
	Handoff         Duration
	SetupLink       Duration
}

// SigningConfig lists the algorithms ID tokens may be signed with.
type SigningConfig struct {
	Algorithms List
}

// DemoConfig is read by serve --demo only.
type DemoConfig struct {
	Listen string
}

// LogConfig is how much is logged.
type LogConfig struct {
	Level string
}

// DebugConfig opens doors for developers; all closed by default.
type DebugConfig struct {
	Pprof bool
}

// configSource remembers where each set key came from and which files held
// secrets.
type configSource struct {
	at      map[string]string // key → "file:line:column" or variable name
	secrets []secretFile
}

// secretFile is a file that held a secret, and the permissions it had.
type secretFile struct {
	at   string // where it is named, or where the secret stands in it
	path string
	perm fs.FileMode
}

// defaultConfig is the configuration of a server that was told nothing. Empty
// values that follow from others are filled in by resolve.
func defaultConfig() Config {
	issuer, err := parseURL("http://localhost:8080")
	if err != nil {
		panic("config: default issuer: " + err.Error()) // a constant of this file
	}
	return Config{
		Issuer:        issuer,
		PrivateListen: "127.0.0.1:9090",
		DataDir:       "./data",
		Database:      DatabaseConfig{MaxConns: 16},
		Password:      PasswordConfig{MinLength: 15, Memory: 19 * mebibyte, Time: 2, Threads: 1, Queue: 64},
		Lockout:       LockoutConfig{Threshold: 10, Wait: 5 * minute, WaitMax: day, PasswordFailures: 100},
		Limits: LimitsConfig{
			SignInsPerBrowser: 10, SignInsPerAddress: 200, GuessesPerMinute: 60,
			Body: 64 * kibibyte, Query: 16 * kibibyte,
		},
		TTL: TTLConfig{
			SignIn: 30 * minute, Session: 12 * hour, Device: 365 * day, Code: 60 * second,
			AccessToken: 10 * minute, IDToken: 10 * minute,
			RefreshIdle: 30 * day, RefreshAbsolute: 180 * day, RefreshGrace: 10 * second,
			Handoff: 60 * second, SetupLink: 30 * minute,
		},
		Signing: SigningConfig{Algorithms: List{"ES256", "EdDSA", "RS256"}},
		Demo:    DemoConfig{Listen: "127.0.0.1:8081"},
		Log:     LogConfig{Level: "info"},
	}
}

// LoadConfig merges, later over earlier: the defaults, the YAML file at path
// (if path is empty, the file that SIMPLON_CONFIG names, if any), and the
// SIMPLON_ variables of env (entries "NAME=value", as os.Environ returns them).
// It returns every mistake at once, joined, each beginning with file:line:column
// or the variable's name; no message repeats the value of a secret. The result
// is well-formed, not yet sensible: call Validate.
func LoadConfig(path string, env []string) (Config, error) {
	c := defaultConfig()
	c.source.at = map[string]string{}
	vars, errs := readEnvironment(env)
	if path == "" {
		path = vars.configFile
	}
	if path != "" {
		errs = append(c.loadFile(path), errs...)
	}
	errs = append(errs, c.applyEnvironment(vars)...)
	if len(errs) > 0 {
		return Config{}, errors.Join(errs...)
	}
	c.resolve()
	return c, nil
}

// resolve fills in the values that follow from others.
func (c *Config) resolve() {
	if c.Database.URL.Reveal() == "" {
		c.Database.URL = secret.Text("sqlite:" + filepath.Join(c.DataDir, "simplon.db"))
	}
	if c.WebAuthn.RPID == "" {
		c.WebAuthn.RPID = c.Issuer.Hostname()
	}
	if len(c.Listen) == 0 {
		c.Listen = c.defaultListen()
	}
	if len(c.TrustedProxies) == 0 && c.behindLocalProxy() {
		c.TrustedProxies = CIDRs{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
}

// defaultListen is the issuer's own address where that is on this machine, all
// addresses where the server holds the certificate, else both loopback
// addresses for a proxy on the same machine.
func (c *Config) defaultListen() List {
	port := c.Issuer.Port()
	if c.TLS.CertFile != "" {
		return List{net.JoinHostPort("", port)}
	}
	if c.Issuer.Scheme() == "https" {
		port = "8080"
	}
	host := c.Issuer.Hostname()
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsLoopback() && c.Issuer.Scheme() == "http" {
		return List{net.JoinHostPort(host, port)}
	}
	return List{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
}

// behindLocalProxy reports whether people can only come through a proxy on this
// machine. Without trusting it, all of them would have one address, and one
// stranger would use up the limits of everybody.
func (c *Config) behindLocalProxy() bool {
	return c.Issuer.Scheme() == "https" && c.TLS.CertFile == "" &&
		!slices.ContainsFunc(c.Listen, func(address string) bool { return !loopbackAddress(address) })
}

// wrong builds the error for a key, beginning with the place its value came from.
func (c *Config) wrong(key, format string, args ...any) error {
	at, ok := c.source.at[key]
	if !ok {
		at = "default"
	}
	return fmt.Errorf("%s: %s: %s", at, key, fmt.Sprintf(format, args...))
}

// sectionKeys lists the keys directly in a section, for error messages.
func sectionKeys(options []option, section string) string {
	var names []string
	for _, o := range options {
		name, inSection := o.key, section == ""
		if section != "" {
			name, inSection = strings.CutPrefix(o.key, section+".")
		}
		name, _, _ = strings.Cut(name, ".")
		if inSection && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
