package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"simplon/secret"
)

var updateExample = flag.Bool("update-example", false, "write config.example.yaml from the table of keys")

const examplePath = "../../config.example.yaml"

// writeConfig puts a text into a file of its own and returns its path.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustLoad(t *testing.T, text string, env ...string) Config {
	t.Helper()
	path := ""
	if text != "" {
		path = writeConfig(t, text)
	}
	c, err := LoadConfig(path, env)
	if err != nil {
		t.Fatalf("LoadConfig: %v", err)
	}
	return c
}

// errorLines loads and, if that works, validates; one error a line, the folder
// of the file cut off.
func errorLines(t *testing.T, text string, env ...string) []string {
	t.Helper()
	path := ""
	if text != "" {
		path = writeConfig(t, text)
	}
	c, err := LoadConfig(path, env)
	if err == nil {
		err = c.Validate()
	}
	if err == nil {
		return nil
	}
	return strings.Split(strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", ""), "\n")
}

func sameValues(t *testing.T, got, want Config) {
	t.Helper()
	got.source, want.source = configSource{}, configSource{}
	wantOptions := configOptions(&want)
	for i, o := range configOptions(&got) {
		if g, w := formatValue(o), formatValue(wantOptions[i]); g != w {
			t.Errorf("%s is %s, want %s", o.key, g, w)
		}
	}
}

func TestConfigTableHoldsEveryFieldOnce(t *testing.T) {
	var c Config
	inTable := map[any]string{}
	for _, o := range configOptions(&c) {
		if other, twice := inTable[o.field]; twice {
			t.Errorf("%s and %s fill the same field", o.key, other)
		}
		inTable[o.field] = o.key
		if o.doc == "" {
			t.Errorf("%s has no description", o.key)
		}
	}
	fields := 0
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		for i := range v.NumField() {
			field, name := v.Field(i), path+v.Type().Field(i).Name
			if !v.Type().Field(i).IsExported() {
				continue
			}
			if _, known := inTable[field.Addr().Interface()]; known {
				fields++
			} else if field.Kind() == reflect.Struct {
				walk(field, name+".")
			} else {
				t.Errorf("Config.%s has no key", name)
			}
		}
	}
	walk(reflect.ValueOf(&c).Elem(), "")
	if fields != len(inTable) {
		t.Errorf("%d fields of Config, %d keys in the table", fields, len(inTable))
	}
}

func TestConfigVariableNamesAreUnique(t *testing.T) {
	seen := map[string]string{envConfigFile: "the file", envScreens: "tests"}
	for _, o := range configOptions(&Config{}) {
		names := []string{o.variable()}
		if o.isSecret() {
			names = append(names, o.variable()+fileSuffix)
		}
		for _, name := range names {
			if other, twice := seen[name]; twice {
				t.Errorf("%s means both %s and %s", name, o.key, other)
			}
			seen[name] = o.key
			if strings.HasPrefix(name, envTestPrefix) {
				t.Errorf("%s lies in the space of tests", name)
			}
		}
	}
}

// The example is written from the table (go test ./cmd/simplon -run Example
// -update-example), so it is complete; this test keeps it so and shows that it loads
// and that its values are the defaults.
func TestConfigExampleIsCompleteAndHoldsTheDefaults(t *testing.T) {
	if *updateExample {
		if err := os.WriteFile(examplePath, []byte(exampleConfig()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != exampleConfig() {
		t.Error("config.example.yaml is not what the table of keys says; run go test ./cmd/simplon -run Example -update-example")
	}
	example, err := LoadConfig(examplePath, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range configOptions(&example) {
		if example.source.at[o.key] == "" {
			t.Errorf("%s is missing from config.example.yaml", o.key)
		}
	}
	sameValues(t, example, mustLoad(t, ""))
	if err := example.Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfigDefaults(t *testing.T) {
	c := mustLoad(t, "")
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	for _, check := range []struct{ what, got, want string }{
		{"issuer", c.Issuer.String(), "http://localhost:8080"},
		{"listen", fmt.Sprint(c.Listen), "[127.0.0.1:8080 [::1]:8080]"},
		{"database.url", c.Database.URL.Reveal(), "sqlite:data/simplon.db"},
		{"webauthn.rp_id", c.WebAuthn.RPID, "localhost"},
		{"ttl.device", c.TTL.Device.Std().String(), "8760h0m0s"},
		{"ttl.refresh_absolute", c.TTL.RefreshAbsolute.Std().String(), "4320h0m0s"},
		{"password.memory", fmt.Sprint(int64(c.Password.Memory)), "19922944"},
	} {
		if check.got != check.want {
			t.Errorf("%s is %s, want %s", check.what, check.got, check.want)
		}
	}
	if one, eight, set := c.Password.HashSlots(1), c.Password.HashSlots(8), (PasswordConfig{Slots: 3}).HashSlots(8); one != 1 || eight != 7 || set != 3 {
		t.Errorf("hash slots %d, %d, %d; want 1, 7, 3", one, eight, set)
	}
}

func TestConfigListenFollowsTheIssuer(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"issuer: http://localhost:9000\n", "[127.0.0.1:9000 [::1]:9000]"},
		{"issuer: http://127.0.0.1:9000\n", "[127.0.0.1:9000]"},
		{"issuer: http://[::1]:9000\n", "[[::1]:9000]"},
		{"issuer: http://localhost\n", "[127.0.0.1:80 [::1]:80]"},
		{"issuer: https://id.example.org\n", "[127.0.0.1:8080 [::1]:8080]"},
		{"issuer: https://id.example.org:8443\n", "[127.0.0.1:8080 [::1]:8080]"},
		{"issuer: https://id.example.org\ntls: {cert_file: a, key_file: b}\n", "[:443]"},
		{"issuer: https://id.example.org:8443\ntls: {cert_file: a, key_file: b}\n", "[:8443]"},
		{"listen: 127.0.0.1:1\n", "[127.0.0.1:1]"},
		{"listen:\n  - 127.0.0.1:1\n  - '[::1]:1'\n", "[127.0.0.1:1 [::1]:1]"},
	} {
		if got := fmt.Sprint(mustLoad(t, tc.text).Listen); got != tc.want {
			t.Errorf("%q listens on %s, want %s", tc.text, got, tc.want)
		}
	}
}

// Behind a proxy on this machine that is not trusted, all people would be one
// network with one budget.
func TestConfigTrustsAProxyOnThisMachineWhereOnlyOneCanBe(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"issuer: https://id.example.org\n", "[127.0.0.0/8 ::1/128]"},
		{"issuer: https://id.example.org\nlisten: [localhost:8080, '127.0.0.2:1', '[::1]:1']\n", "[127.0.0.0/8 ::1/128]"},
		{"issuer: https://id.example.org\ntrusted_proxies: []\n", "[127.0.0.0/8 ::1/128]"},
		{"issuer: https://id.example.org\ntrusted_proxies: 10.0.0.1\n", "[10.0.0.1/32]"},
		{"issuer: https://id.example.org\nlisten: ':8080'\n", "[]"}, // Validate refuses it
		{"issuer: https://id.example.org\ntls: {cert_file: a, key_file: b}\nlisten: '127.0.0.1:8443'\n", "[]"},
		{"issuer: http://localhost:8080\n", "[]"},
	} {
		if got := fmt.Sprint(mustLoad(t, tc.text).TrustedProxies); got != tc.want {
			t.Errorf("%q trusts %s, want %s", tc.text, got, tc.want)
		}
	}
}

// What the configuration lets through, the hash pool used to refuse.
func TestConfigBoundsOfHashesAreThoseOfThePool(t *testing.T) {
	for _, o := range passwordOptions(&Config{}) {
		for _, n := range []int64{o.lo, o.hi} {
			p := secret.Params{MemoryKiB: 64 << 10, Time: 1, Threads: 1}
			switch o.key {
			case "password.memory":
				p.MemoryKiB = uint32(n / int64(kibibyte))
			case "password.time":
				p.Time = uint32(n)
			case "password.threads":
				p.Threads = uint8(n)
			}
			if _, err := secret.NewPool(secret.PoolConfig{Params: p}); err != nil {
				t.Errorf("%s of %s: %v", o.key, o.bound(n), err)
			}
		}
	}
	for _, text := range []string{"password: {memory: 257MiB}", "password: {time: 17}", "password: {threads: 17}"} {
		if got := errorLines(t, text); len(got) != 1 || !strings.Contains(got[0], "out of range") {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestConfigEnvironmentOverridesEveryKey(t *testing.T) {
	values := map[reflect.Type]string{
		reflect.TypeFor[*string]():      "error",
		reflect.TypeFor[*bool]():        "true",
		reflect.TypeFor[*int]():         "7",
		reflect.TypeFor[*Duration]():    "7s",
		reflect.TypeFor[*Bytes]():       "7KiB",
		reflect.TypeFor[*URL]():         "https://seven.example",
		reflect.TypeFor[*secret.Text](): "sqlite:seven",
		reflect.TypeFor[*List]():        "seven, eight",
		reflect.TypeFor[*CIDRs]():       "10.0.0.0/8,192.0.2.7",
	}
	example := writeConfig(t, exampleConfig())
	for i, o := range configOptions(&Config{}) {
		value := values[reflect.TypeOf(o.field)]
		c, err := LoadConfig(example, []string{"PATH=/bin", o.variable() + "=" + value})
		if err != nil {
			t.Errorf("%s: %v", o.variable(), err)
			continue
		}
		got := configOptions(&c)[i]
		want := configOptions(&Config{})[i]
		if err := want.set(value); err != nil {
			t.Fatal(err)
		}
		if formatValue(got) != formatValue(want) {
			t.Errorf("%s=%s gave %s", o.variable(), value, formatValue(got))
		}
	}
}

func TestConfigFileIsNamedByVariableUnlessGiven(t *testing.T) {
	named, given := writeConfig(t, "data_dir: named\n"), writeConfig(t, "data_dir: given\n")
	c, err := LoadConfig("", []string{envConfigFile + "=" + named})
	if err != nil || c.DataDir != "named" {
		t.Errorf("data_dir is %q (%v), want named", c.DataDir, err)
	}
	c, err = LoadConfig(given, []string{envConfigFile + "=" + named})
	if err != nil || c.DataDir != "given" {
		t.Errorf("data_dir is %q (%v), want given", c.DataDir, err)
	}
}

func TestConfigReadsSecretFromFile(t *testing.T) {
	const databaseURL = "postgres://simplon:s3cr3t-of-its-own@localhost/simplon"
	file := filepath.Join(t.TempDir(), "url")
	for _, tc := range []struct {
		perm fs.FileMode
		want string
	}{
		{0o600, ""}, {0o440, ""},
		{0o644, "SIMPLON_DATABASE_URL_FILE: " + file + " holds a secret and can be read by others (0644); chmod 600 it"},
	} {
		if err := os.WriteFile(file, []byte(databaseURL+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, tc.perm); err != nil {
			t.Fatal(err)
		}
		c := mustLoad(t, "", "SIMPLON_DATABASE_URL_FILE="+file)
		if got := c.Database.URL.Reveal(); got != databaseURL {
			t.Errorf("database.url is %q", got)
		}
		got := ""
		if err := c.Validate(); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("mode %04o: %q, want %q", tc.perm, got, tc.want)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfigRefusesReadableFileWithPassword(t *testing.T) {
	for _, tc := range []struct {
		url  string
		perm fs.FileMode
		ok   bool
	}{
		{"postgres://simplon:own@localhost/x", 0o600, true},
		{"postgres://simplon:own@localhost/x", 0o640, true},
		{"postgres://simplon:own@localhost/x", 0o644, false},
		{"postgres://simplon:own@localhost/x", 0o660, false},
		{"postgres://localhost/x?password=own", 0o604, false},
		{"postgres://simplon@localhost/x", 0o644, true},
		{"sqlite:/x", 0o644, true},
	} {
		path := writeConfig(t, "database:\n  url: "+tc.url+"\n")
		if err := os.Chmod(path, tc.perm); err != nil {
			t.Fatal(err)
		}
		// What the environment says later does not unwrite the file.
		c, err := LoadConfig(path, []string{"SIMPLON_DATABASE_URL=sqlite:y"})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); (err == nil) != tc.ok {
			t.Errorf("%s with mode %04o: %v", tc.url, tc.perm, err)
		} else if err != nil && !strings.HasPrefix(err.Error(), path+":2:3: ") {
			t.Errorf("the error does not point into the file: %v", err)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	const secret = "postgres://u:pw-7f3a@h/d"
	c := mustLoad(t, "", "SIMPLON_DATABASE_URL="+secret)
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c, "url", c.Database.URL)
	for _, text := range []string{
		string(encoded), log.String(), fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c),
		fmt.Sprintf("%s %q %x %d", c.Database.URL, c.Database.URL, c.Database.URL, c.Database.URL),
	} {
		if strings.Contains(text, "pw-7f3a") || strings.Contains(text, fmt.Sprintf("%x", "pw-7f3a")) {
			t.Errorf("a secret was printed: %s", text)
		}
	}
	for _, bad := range []string{"database:\n  url: [" + secret + "]\n", "database:\n  url: {a: " + secret + "}\n", "database:\n  url: " + secret + ": x\n", "database:\n  url: mysql://u:pw-7f3a@h/\n", "database:\n  url: \"postgres://u:pw-7f3a@h:bad/\"\n", "database: " + secret + "\n"} {
		lines := errorLines(t, bad)
		if len(lines) == 0 || strings.Contains(strings.Join(lines, " "), "pw-7f3a") {
			t.Errorf("%q gave %q", bad, lines)
		}
	}
}

func TestConfigRefusesReadableOrMissingPrivateKey(t *testing.T) {
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, "id.example.org", time.Now().Add(time.Hour))
	text := "issuer: https://id.example.org\ntls:\n  cert_file: " + cert + "\n  key_file: " + key + "\n"
	if got := errorLines(t, text); got != nil {
		t.Errorf("mode 0600 is refused: %q", got)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := errorLines(t, text); len(got) != 1 || !strings.Contains(got[0], "config.yaml:4:13: tls.key_file") || !strings.Contains(got[0], "chmod 600") {
		t.Errorf("mode 0644 gives %q", got)
	}
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	// A certificate that does not load used to pass here and stop serve.
	if err := os.WriteFile(cert, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := errorLines(t, text); len(got) != 1 || !strings.Contains(got[0], "config.yaml:3:14: tls.cert_file") || !strings.Contains(got[0], "no pair") {
		t.Errorf("a junk certificate gives %q", got)
	}
	for _, path := range []string{cert, key} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if got := errorLines(t, text); len(got) != 2 || !strings.Contains(got[0], "no such file") || !strings.Contains(got[1], "no such file") {
		t.Errorf("missing files give %q", got)
	}
}

func TestDurationSyntax(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1s": time.Second, "90s": 90 * time.Second, "30m": 30 * time.Minute, "1h30m": 90 * time.Minute,
		"365d": 8760 * time.Hour, "1d12h": 36 * time.Hour, "0s": 0, "1500ms": 1500 * time.Millisecond,
	} {
		d, err := parseDuration(text)
		if err != nil || d.Std() != want {
			t.Errorf("%q is %v (%v), want %v", text, d.Std(), err, want)
		}
		if again, err := parseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q is written as %q, which reads %v (%v)", text, d, again, err)
		}
	}
	for _, text := range []string{"", "5", "d", "-1s", "+1s", "1.5d", "1d-2h", "1h1d", "x", "999999999d", "106751d24h", "1 d"} {
		if d, err := parseDuration(text); err == nil {
			t.Errorf("%q was read as %v", text, d)
		}
	}
}

func TestBytesSyntax(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "7": 7, "7B": 7, "64KiB": 65536, "19 MiB": 19 * mebibyte, "1GiB": gibibyte} {
		b, err := parseBytes(text)
		if err != nil || b != want {
			t.Errorf("%q is %d (%v), want %d", text, int64(b), err, int64(want))
		}
		if again, err := parseBytes(b.String()); err != nil || again != b {
			t.Errorf("%q is written as %q, which reads %v (%v)", text, b, again, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1KB", "1kib", "1.5MiB", "9999999999999GiB", "0x10"} {
		if b, err := parseBytes(text); err == nil {
			t.Errorf("%q was read as %v", text, b)
		}
	}
}

func TestCIDRsContainMappedAddresses(t *testing.T) {
	c := mustLoad(t, "trusted_proxies: [10.0.0.0/8, '2001:db8::1', '::ffff:192.0.2.1']\n").TrustedProxies
	for text, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "2001:db8::1": true, "192.0.2.1": true,
		"11.0.0.1": false, "2001:db8::2": false, "192.0.2.2": false,
	} {
		if got := c.Contains(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s trusted: %v", text, got)
		}
	}
}

func TestInitWritesAConfigurationThatServes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	path, err := writeInit("https://id.example.org", dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %v (%v), want 0600", path, info.Mode(), err)
	}
	c, err := LoadConfig(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	want := mustLoad(t, "", "SIMPLON_ISSUER=https://id.example.org", "SIMPLON_DATA_DIR="+filepath.Join(dir, "data"))
	sameValues(t, c, want)
	if c.source.at["trusted_proxies"] == "" {
		t.Error("init does not say which proxies are trusted")
	}

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range configOptions(&c) {
		if !strings.Contains(string(text), o.variable()) {
			t.Errorf("%s is not described", o.key)
		}
	}
	uncommented := strings.NewReplacer("# threshold: 10", "threshold: 5", "# pprof: false", "pprof: true").Replace(string(text))
	if c := mustLoad(t, uncommented); c.Lockout.Threshold != 5 || !c.Debug.Pprof {
		t.Error("taking the # away does not set a key")
	}

	if _, err := writeInit("https://other.example.org", dir); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a second init says %v", err)
	}
	if again, err := os.ReadFile(path); err != nil || !slices.Equal(again, text) {
		t.Error("a second init changed the file")
	}
}

func TestInitRefusesABadIssuer(t *testing.T) {
	for _, issuer := range []string{"", "id.example.org", "http://id.example.org", "https://id.example.org/", "ftp://x"} {
		dir := t.TempDir()
		if _, err := writeInit(issuer, dir); err == nil {
			t.Errorf("init took %q", issuer)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("init left something behind for %q", issuer)
		}
	}
}

// Whatever the file holds, reading it ends, points at places, and what is
// accepted means the same after it was written and read again.
func FuzzLoadConfig(f *testing.F) {
	for _, text := range []string{
		exampleConfig(), "", "issuer: https://id.example.org\n", "ttl: {code: 1s}\n", "listen: [a, 'b', \"c\\n\"]\n",
		"a: &x 1\nb: *x\n", "<<: {a: 1}\n", "? a\n: b\n", "ttl:\n  code: |\n    10s\n", "database:\n  url: 'it''s'\n",
		"a: 1\n---\nb: 2\n", "%YAML 1.2\n---\ndata_dir: !!str 5\n", "\tissuer: x", "data_dir: \"\\U0001F600\\xff\"\n", "trusted_proxies: [::1, 10/8]\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := defaultConfig()
		c.source.at = map[string]string{}
		if errs := c.loadYAML("f", text, 0o600); len(errs) > 0 {
			for _, err := range errs {
				if !strings.HasPrefix(err.Error(), "f:") {
					t.Errorf("%q does not say where", err)
				}
			}
			return
		}
		written := renderConfig(c, "x", func(string) bool { return true })
		again := defaultConfig()
		again.source.at = map[string]string{}
		if errs := again.loadYAML("f", []byte(written), 0o600); len(errs) > 0 {
			t.Fatalf("what was written does not load: %v\n%s", errs, written)
		}
		c.source, again.source = configSource{}, configSource{}
		if rewritten := renderConfig(again, "x", func(string) bool { return true }); rewritten != written {
			t.Errorf("written and read again it differs:\n%s\n%s", written, rewritten)
		}
		c.resolve()
		_ = c.Validate() // must not panic
	})
}

// A key without effect is a lie: the program's other files read every field.
func TestConfigKeysAreAllRead(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var program strings.Builder
	for _, name := range names {
		if strings.HasPrefix(name, "config") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		program.Write(text)
	}
	var walk func(of reflect.Type, path string)
	walk = func(of reflect.Type, path string) {
		for i := range of.NumField() {
			field := of.Field(i)
			if !field.IsExported() {
				continue
			}
			name := path + "." + field.Name
			if strings.HasSuffix(field.Type.Name(), "Config") {
				walk(field.Type, name)
			} else if !regexp.MustCompile(regexp.QuoteMeta(name)+`\b`).MatchString(program.String()) &&
				field.Name != "Slots" { // read through HashSlots
				t.Errorf("nothing reads Config%s", name)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	if !strings.Contains(program.String(), ".HashSlots(") {
		t.Error("nothing reads Config.Password.Slots")
	}
}
