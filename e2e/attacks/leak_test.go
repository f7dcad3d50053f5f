package attacks

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"simplon/e2e/harness"
)

// A13, A37: after a run with every kind of secret in it, right, wrong and in the
// wrong place, none of them stands in the log, in the metrics, in the database or
// in any other file of the server.
func TestA37NoSecretOfTheRunIsWrittenDown(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		secrets := useEverySecret(t, at)
		places := map[string]string{}
		metrics := at.Metrics(t)
		for name := range metrics {
			places["metrics"] += name + "\n"
		}
		databaseOf(t, at, places) // while it runs: the write-ahead log is there
		at.Stop(t)
		databaseOf(t, at, places)
		places["log"] = at.Logs()
		wantCanaries(t, at, places)
		for what, secret := range secrets {
			if len(secret) < 8 {
				t.Errorf("%s: the run had none: %q", what, secret)
				continue
			}
			for where, text := range places {
				for how, form := range writings(secret) {
					if strings.Contains(text, form) {
						t.Errorf("%s stands in %s (%s)", what, where, how)
					}
				}
			}
		}
	})
}

// wantCanaries proves that the search would find something: what is no secret is
// where it belongs.
func wantCanaries(t *testing.T, at target, places map[string]string) {
	t.Helper()
	database := places["PostgreSQL"]
	if at.Engine == harness.SQLite {
		database = places["file simplon.db"]
	}
	for what, found := range map[string]bool{
		"the client's id in the log":      strings.Contains(places["log"], at.app.ID),
		"the login in the database":       strings.Contains(database, at.anna.Login),
		"a counted guess in the metrics":  strings.Contains(places["metrics"], "simplon_password_guesses_total"),
		"the key ring among the files":    places["file keys.json"] != "",
		"a line that the server is ready": strings.Contains(places["log"], `"msg":"listening"`),
	} {
		if !found {
			t.Errorf("did not find %s", what)
		}
	}
}

// writings are the ways a secret could be written.
func writings(secret string) map[string]string {
	return map[string]string{
		"as it is": secret, "hex": hex.EncodeToString([]byte(secret)), "query": url.QueryEscape(secret),
		"base64": base64.StdEncoding.EncodeToString([]byte(secret)),
	}
}

// useEverySecret signs in, refreshes, fails, and sends secrets where they do not
// belong; it returns what must not be found anywhere.
func useEverySecret(t *testing.T, at target) map[string]string {
	t.Helper()
	secrets := map[string]string{"password": at.anna.Password, "client secret": at.app.Secret}
	link, err := os.ReadFile(filepath.Join(at.DataDir, "setup-link"))
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(strings.TrimSpace(string(link)))
	if err != nil {
		t.Fatal(err)
	}
	secrets["set-up link"] = lastPart(address)
	setup := at.NewBrowser(t)
	visit(t, setup, address.String())
	if err := os.Remove(filepath.Join(at.DataDir, "setup-link")); err != nil { // the one file it may stand in
		t.Fatal(err)
	}

	browser := at.NewBrowser(t)
	code, verifier := at.app.SignIn(t, browser, at.anna)
	tokens, err := at.app.Redeem(code, verifier)
	if err != nil {
		t.Fatal(err)
	}
	refreshed, err := at.app.Refresh(tokens.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	secrets["code"], secrets["verifier"] = code, verifier
	secrets["access token"], secrets["refresh token"] = tokens.AccessToken, tokens.RefreshToken
	secrets["ID token"], secrets["successor"] = tokens.IDToken, refreshed.RefreshToken
	secrets["session cookie"], secrets["device cookie"] = browser.Cookie("s"), browser.Cookie("d")
	misplaceSecrets(t, at, browser, secrets)
	return secrets
}

// misplaceSecrets makes the mistakes that people and programs make.
func misplaceSecrets(t *testing.T, at target, browser *harness.Browser, secrets map[string]string) {
	t.Helper()
	secrets["wrong password"] = "the wrong password of anna"
	other := at.NewBrowser(t)
	page, err := other.ToPassword(at.app.Authorize().URL, at.anna.Login)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.GivePassword(page, secrets["wrong password"]); err != nil {
		t.Fatal(err)
	}
	if _, err := at.app.Redeem(secrets["code"], secrets["verifier"]); err != nil { // again
		t.Fatal(err)
	}
	for _, token := range []string{secrets["access token"], secrets["ID token"], secrets["refresh token"]} {
		if _, _, err := at.app.UserInfo(token); err != nil {
			t.Fatal(err)
		}
		visit(t, browser, "/userinfo?access_token="+url.QueryEscape(token))
		visit(t, browser, "/end_session?id_token_hint="+url.QueryEscape(token))
		visit(t, browser, "/no/such/page/"+url.PathEscape(token))
	}
	get(t, browser, "/oauth/token?"+url.Values{"client_secret": {at.app.Secret}, "refresh_token": {secrets["successor"]}}.Encode())
	get(t, browser, at.app.Authorize(url.Values{"client_id": {at.app.Secret}}).URL)
	browser.Header.Set("Authorization", "Bearer "+secrets["access token"])
	visit(t, browser, "/")
}

func lastPart(address *url.URL) string {
	for _, values := range address.Query() {
		return values[0]
	}
	if address.Fragment != "" {
		return address.Fragment
	}
	return address.Path[strings.LastIndexByte(address.Path, '/')+1:]
}

// databaseOf adds what the server has stored: every file of its folder (the key
// ring included) and every row of PostgreSQL.
func databaseOf(t *testing.T, at target, places map[string]string) {
	t.Helper()
	err := filepath.WalkDir(at.DataDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		places["file "+entry.Name()] += string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if at.Engine == harness.PostgreSQL {
		places["PostgreSQL"] += rowsOf(t, at.DatabaseURL)
	}
}

// rowsOf writes every row of every table as text; bytes come as hex.
func rowsOf(t *testing.T, address string) string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) == 0 {
		t.Fatalf("%d tables: %v", len(tables), err)
	}
	var all strings.Builder
	for _, table := range tables {
		rows, err := conn.Query(ctx, `SELECT t::text FROM `+pgx.Identifier{table}.Sanitize()+` t`)
		if err != nil {
			t.Fatal(err)
		}
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(table + "\n" + strings.Join(texts, "\n") + "\n")
	}
	return all.String()
}
