package main

import (
	"slices"
	"strings"
	"testing"
)

func TestConfigMistakesAllComeAtOnceWithTheirPlaces(t *testing.T) {
	got := errorLines(t, `issuer: https://id.example.org
lissen: 127.0.0.1:1
ttl:
  code: soon
  kode: 60s
password:
  min_length: fifteen
  memory: 19MB
trusted_proxies:
  - 10.0.0.0/8
  - 10.0.0.1/8
lockout: 10
debug:
  pprof: yes
`, "SIMPLON_TTL_SESSION=later", "SIMPLON_TTL_SESION=1h", "SIMPLON_TEST_ANYTHING=1", "SIMPLON_SCREENSHOTS=x", "OTHER=1")
	want := []string{
		`config.yaml:2:1: unknown key "lissen"; the keys are issuer, listen, private_listen, data_dir, database, trusted_proxies, tls, support, webauthn, password, lockout, limits, ttl, signing, demo, log, debug`,
		`config.yaml:4:9: ttl.code: "soon" is not a duration; write for example 90s, 30m, 12h or 365d`,
		`config.yaml:5:3: unknown key "ttl.kode"; ttl has sign_in, session, device, code, access_token, id_token, refresh_idle, refresh_absolute, refresh_grace, handoff, setup_link`,
		`config.yaml:7:15: password.min_length: "fifteen" is not a whole number`,
		`config.yaml:8:11: password.memory: "19MB" is not a size; write for example 64KiB or 19MiB`,
		`config.yaml:10:3: trusted_proxies: "10.0.0.1/8" has bits beyond its length; write 10.0.0.0/8`,
		`config.yaml:12:10: lockout is a section; expected its keys, indented below it: threshold, wait, wait_max, password_failures`,
		`config.yaml:14:10: debug.pprof: "yes" is neither true nor false`,
		`SIMPLON_TTL_SESION: no key of the configuration has this name; config.example.yaml lists them all`,
		`SIMPLON_TTL_SESSION: ttl.session: "later" is not a duration; write for example 90s, 30m, 12h or 365d`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// One mistake in each, and where it must be reported.
func TestConfigRefusals(t *testing.T) {
	for _, tc := range []struct{ name, text, env, want string }{
		{"http off loopback", "issuer: http://id.example.org", "", "config.yaml:1:9: issuer: must be https"},
		{"http on a private address", "issuer: http://192.168.1.1", "", "issuer: must be https"},
		{"http on a name under localhost", "issuer: http://id.localhost", "", "issuer: must be https"},
		{"issuer with trailing slash", "issuer: https://id.example.org/", "", "must not end with a slash; write https://id.example.org"},
		{"issuer with path", "issuer: https://id.example.org/auth", "", "must not have a path"},
		{"issuer with query", "issuer: https://id.example.org?a=b", "", "must not have a query"},
		{"issuer with empty query", "issuer: https://id.example.org?", "", "must not have a query"},
		{"issuer with fragment", "issuer: 'https://id.example.org#x'", "", "must not have a fragment"},
		{"issuer with empty fragment", "issuer: 'https://id.example.org#'", "", "must not have a fragment"},
		{"issuer with user", "issuer: https://u:p@id.example.org", "", "must not hold a user name"},
		{"issuer in capitals", "issuer: https://ID.example.org", "", "must be in lower case"},
		{"issuer with default port", "issuer: https://id.example.org:443", "", "must leave out"},
		{"issuer with international name", "issuer: https://bücher.example", "", "xn--"},
		{"issuer without scheme", "issuer: id.example.org", "", "config.yaml:1:9: issuer: not an absolute http or https address"},
		{"issuer from the environment", "", "SIMPLON_ISSUER=http://id.example.org", "SIMPLON_ISSUER: issuer: must be https"},
		{"empty issuer", "issuer: ''", "", "issuer: must be set"},
		{"listener off loopback", "listen: 0.0.0.0:8080", "", "would carry passwords in clear"},
		{"listener on all interfaces", "listen: ':8080'", "", "would carry passwords in clear"},
		{"https listener off loopback without certificate or proxy", "issuer: https://id.example.org\nlisten: ':8080'", "", "config.yaml:2:9: listen: \":8080\" is open to the network"},
		{"listener without port", "listen: 127.0.0.1", "", "is not host:port"},
		{"listener twice", "listen: ['127.0.0.1:1', '127.0.0.1:1']", "", "stands twice"},
		{"trusting everybody", "trusted_proxies: 0.0.0.0/0", "", "0.0.0.0/0 trusts everybody"},
		{"private listener off loopback", "private_listen: 0.0.0.0:9090", "", "private_listen: \"0.0.0.0:9090\" is open to the network"},
		{"private listener without path", "private_listen: 'unix:'", "", "unix: needs a path"},
		{"demo off loopback", "demo: {listen: ':8081'}", "", "the demo is for this machine only"},
		{"certificate without key", "tls: {cert_file: c.pem}", "", "tls.cert_file: needs tls.key_file as well"},
		{"key without certificate", "tls: {key_file: k.pem}", "", "tls.key_file: needs tls.cert_file as well"},
		{"certificate for an http issuer", "tls: {key_file: k.pem, cert_file: c.pem}", "", "contradicts an http issuer"},
		{"example password", "database: {url: 'postgres://simplon:change-me@db/simplon'}", "", "holds an example password"},
		{"another engine", "database: {url: 'mysql://db/simplon'}", "", "must begin with sqlite: or postgres://"},
		{"sqlite without path", "database: {url: 'sqlite:'}", "", "sqlite: needs a path"},
		{"threshold too low", "lockout: {threshold: 2}", "", "config.yaml:1:22: lockout.threshold: 2 is out of range; from 3 to 20"},
		{"threshold too high", "lockout: {threshold: 21}", "", "from 3 to 20"},
		{"long code", "ttl: {code: 11m}", "", "ttl.code: 11m is out of range; from 1s to 10m"},
		{"zero lifetime", "ttl: {session: 0s}", "", "ttl.session: 0s is out of range"},
		{"no connections", "database: {max_conns: 0}", "", "database.max_conns: 0 is out of range"},
		{"short passwords", "password: {min_length: 7}", "", "from 8 to 128"},
		{"cheap hash", "password: {time: 1}", "", "password.memory: 19MiB with password.time 1 is too cheap"},
		{"wait over its maximum", "lockout: {wait: 2d}", "", "lockout.wait: 2d is longer than lockout.wait_max, 1d"},
		{"idle over absolute", "ttl: {refresh_idle: 200d}", "", "ttl.refresh_idle: 200d is longer than ttl.refresh_absolute, 180d"},
		{"unknown algorithm", "signing: {algorithms: [ES256, HS256]}", "", "\"HS256\" is none of ES256, EdDSA, RS256"},
		{"algorithm twice", "signing: {algorithms: [ES256, ES256]}", "", "stands twice"},
		{"no algorithm", "signing: {algorithms: []}", "", "needs at least one"},
		{"unknown level", "log: {level: loud}", "", "log.level: \"loud\" is none of debug, info, warn, error"},
		{"foreign rp id", "webauthn: {rp_id: example.com}", "", "neither the issuer's host \"localhost\" nor a parent"},
		{"top-level rp id", "issuer: https://id.example\nwebauthn: {rp_id: example}", "", "neither the issuer's host"},
		{"empty data_dir", "data_dir: ''", "", "data_dir: must be set"},
		{"two lines of contact", "support: {contact: \"a\\nb\"}", "", "must be one line"},
		{"duplicate key", "data_dir: a\ndata_dir: b", "", "config.yaml:2:1: mapping key \"data_dir\" already defined"},
		{"null value", "data_dir:", "", "data_dir: expected a value; remove the line for the default"},
		{"list for a value", "data_dir: [a]", "", "data_dir: expected a value"},
		{"map for a value", "data_dir: {a: b}", "", "data_dir: expected a value"},
		{"list of lists", "listen: [[a]]", "", "listen: expected a list of plain values"},
		{"anchor", "data_dir: &a x", "", "config.yaml:1:11: data_dir: expected a value"},
		{"tag", "data_dir: !!str x", "", "data_dir: expected a value"},
		{"merge key", "<<: {data_dir: x}", "", "config.yaml:1:1: expected a key"},
		{"second document", "data_dir: x\n---\ndata_dir: y", "", "config.yaml:3:9: a second document"},
		{"list at the top", "- a", "", "expected keys and values"},
		{"dotted key", "ttl.code: 60s", "", "config.yaml:1:1: unknown key \"ttl.code\""},
		{"broken YAML", "listen: [a", "", "config.yaml:1:9: "},
		{"not UTF-8", "data_dir: \xff", "", "config.yaml: not a text in UTF-8"},
		{"unknown variable", "", "SIMPLON_DATABASE=x", "SIMPLON_DATABASE: no key"},
		{"file variant of what is no secret", "", "SIMPLON_ISSUER_FILE=x", "SIMPLON_ISSUER_FILE: no key"},
		{"missing secret file", "", "SIMPLON_DATABASE_URL_FILE=missing-file", "SIMPLON_DATABASE_URL_FILE: open missing-file"},
		{"missing configuration file", "", "SIMPLON_CONFIG=missing-file", "configuration file: open missing-file"},
		{"empty number", "", "SIMPLON_PASSWORD_QUEUE=", "SIMPLON_PASSWORD_QUEUE: password.queue: \"\" is not a whole number"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var env []string
			if tc.env != "" {
				env = append(env, tc.env)
			}
			got := errorLines(t, tc.text, env...)
			if len(got) != 1 || !strings.Contains(got[0], tc.want) {
				t.Errorf("got %q, want one line with %q", got, tc.want)
			}
		})
	}
}

func TestConfigRefusesSecretGivenTwice(t *testing.T) {
	got := errorLines(t, "", "SIMPLON_DATABASE_URL=sqlite:a", "SIMPLON_DATABASE_URL_FILE=b")
	if len(got) != 1 || !strings.Contains(got[0], "SIMPLON_DATABASE_URL is set as well") {
		t.Errorf("got %q", got)
	}
}

func TestConfigAccepts(t *testing.T) {
	for _, text := range []string{
		"issuer: http://127.0.0.1:9000", "issuer: http://127.3.2.1", "issuer: http://[::1]:1", "issuer: https://id.example.org:8443",
		"issuer: https://192.0.2.1", "issuer: https://xn--bcher-kva.example",
		"issuer: https://id.example.org\nlisten: ':8080'\ntrusted_proxies: 10.0.0.0/8",
		"listen: ':8080'\ntrusted_proxies: [172.16.0.0/12]",
		"issuer: https://login.id.example.org\nwebauthn: {rp_id: id.example.org}",
		"private_listen: off", "private_listen: unix:/run/simplon.sock", "private_listen: '[::1]:0'",
		"password: {memory: 64MiB, time: 1, threads: 4}", "lockout: {threshold: 3}", "ttl: {session: 1s, code: 1s, refresh_idle: 11s}",
		"tls:\n  # cert_file: x\nlog:\n", "# nothing\n", "database: {url: 'postgres://simplon@/simplon?host=/run/postgresql'}",
		"signing: {algorithms: RS256}",
	} {
		if got := errorLines(t, text); got != nil {
			t.Errorf("%q is refused: %q", text, got)
		}
	}
}
