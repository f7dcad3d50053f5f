package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"simplon/console"
)

// socketName is the admin socket in data_dir; lockName the lock that the server,
// or a command without one, holds.
const (
	socketName = "admin.sock"
	lockName   = "lock"
)

// verb is one act as the admin socket offers it: JSON in, JSON out.
type verb func(ctx context.Context, acts *console.Acts, actor string, in json.RawMessage) (any, error)

// decoded makes a verb of a typed act.
func decoded[In, Out any](act func(ctx context.Context, acts *console.Acts, actor string, in In) (Out, error)) verb {
	return func(ctx context.Context, acts *console.Acts, actor string, raw json.RawMessage) (any, error) {
		var in In
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, fmt.Errorf("admin: request: %w", err)
		}
		return act(ctx, acts, actor, in)
	}
}

type named struct {
	Name string `json:"name"`
}

type setupLinkRequest struct {
	Emergency bool `json:"emergency"`
}

// verbs are all acts of the command line that work on an installation.
func verbs() map[string]verb {
	return map[string]verb{
		"account.create": decoded(func(ctx context.Context, a *console.Acts, actor string, in console.NewAccount) (console.Account, error) {
			return a.CreateAccount(ctx, actor, in)
		}),
		"account.list": decoded(func(ctx context.Context, a *console.Acts, _ string, _ struct{}) ([]console.Account, error) {
			return a.Accounts(ctx)
		}),
		"account.show": decoded(func(ctx context.Context, a *console.Acts, _ string, in named) (console.Account, error) {
			return a.FindAccount(ctx, in.Name)
		}),
		"client.create": decoded(func(ctx context.Context, a *console.Acts, actor string, in console.NewClient) (console.Client, error) {
			return a.CreateClient(ctx, actor, in)
		}),
		"client.list": decoded(func(ctx context.Context, a *console.Acts, _ string, _ struct{}) ([]console.Client, error) {
			return a.Clients(ctx)
		}),
		"client.show": decoded(func(ctx context.Context, a *console.Acts, _ string, in named) (console.Client, error) {
			return a.FindClient(ctx, in.Name)
		}),
		"client.rotate-secret": decoded(func(ctx context.Context, a *console.Acts, actor string, in named) (console.Client, error) {
			return a.RotateSecret(ctx, actor, in.Name)
		}),
		"setup-link": decoded(func(ctx context.Context, a *console.Acts, actor string, in setupLinkRequest) (console.SetupLink, error) {
			return a.NewSetupLink(ctx, actor, in.Emergency)
		}),
	}
}

// adminAnswer is what the socket answers: one of the two.
type adminAnswer struct {
	Result  json.RawMessage `json:"result,omitempty"`
	Refusal *adminRefusal   `json:"refusal,omitempty"`
}

type adminRefusal struct {
	Text     string `json:"text"`
	NotFound bool   `json:"not_found,omitempty"`
}

// adminHandler serves the verbs. The socket's file mode is what keeps others out.
func adminHandler(acts *console.Acts, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	for name, v := range verbs() {
		mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
			actor, _ := r.Context().Value(peerKey{}).(string)
			raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
			var result any
			if err == nil {
				result, err = v(r.Context(), acts, actor, raw)
			}
			log.Info("admin", slog.String("verb", name), slog.String("actor", actor), slog.Bool("ok", err == nil))
			writeAdmin(w, result, err, log)
		})
	}
	return mux
}

func writeAdmin(w http.ResponseWriter, result any, err error, log *slog.Logger) {
	var answer adminAnswer
	var refusal *console.Refusal
	switch {
	case errors.As(err, &refusal):
		answer.Refusal = &adminRefusal{Text: refusal.Text, NotFound: refusal.NotFound}
	case err != nil:
		log.Error("admin act failed", slog.String("error", err.Error()))
		answer.Refusal = &adminRefusal{Text: "the server failed: " + err.Error()}
	default:
		if answer.Result, err = json.Marshal(result); err != nil {
			answer.Refusal = &adminRefusal{Text: err.Error()}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		log.Warn("admin answer not delivered", slog.String("error", err.Error()))
	}
}

// peerKey holds, for the life of one admin connection, who is at its other end.
type peerKey struct{}

// adminServer listens on data_dir/admin.sock, readable by its owner only. A
// socket left by a killed server is removed; the lock, which the caller holds,
// proves that nobody answers there.
func adminServer(dir string, acts *console.Acts, log *slog.Logger) (*http.Server, net.Listener, error) {
	path := filepath.Join(dir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("admin socket: %w", err)
	}
	l, err := listenPrivately(path)
	if err != nil {
		return nil, nil, fmt.Errorf("admin socket: %w", err)
	}
	server := &http.Server{
		Handler: adminHandler(acts, log), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, peerName(c))
		},
	}
	return server, l, nil
}

// call runs a verb: through the running server, or, where none holds the lock,
// by opening the installation itself.
func call[Out any](s *session, c Config, name string, in any) (out Out, err error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("admin: %w", err)
	}
	var answer adminAnswer
	lock, locked, err := takeLock(c.DataDir)
	switch {
	case err != nil:
		return out, err
	case locked:
		defer lock.release()
		answer, err = callHere(s, c, name, raw)
	default:
		answer, err = callServer(s.ctx, c.DataDir, name, raw)
	}
	if err != nil {
		return out, err
	}
	if answer.Refusal != nil {
		return out, &console.Refusal{Text: answer.Refusal.Text, NotFound: answer.Refusal.NotFound}
	}
	if err := json.Unmarshal(answer.Result, &out); err != nil {
		return out, fmt.Errorf("admin: answer: %w", err)
	}
	return out, nil
}

func callServer(ctx context.Context, dir, name string, raw []byte) (answer adminAnswer, err error) {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialPrivately(ctx, filepath.Join(dir, socketName))
		}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin/v1/"+name, bytes.NewReader(raw))
	if err != nil {
		return answer, fmt.Errorf("admin: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return answer, fmt.Errorf("a server holds %s but does not answer on its admin socket (is it starting, or another command running?): %w", dir, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("admin: the server answered %s; is it of another version?", res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<20)).Decode(&answer); err != nil {
		return answer, fmt.Errorf("admin: answer: %w", err)
	}
	return answer, nil
}

func callHere(s *session, c Config, name string, raw []byte) (answer adminAnswer, err error) {
	quiet := slog.New(slog.NewJSONHandler(s.errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))
	in, err := openInstallation(s.ctx, c, quiet)
	if err != nil {
		return answer, err
	}
	defer in.close()
	result, err := verbs()[name](s.ctx, in.acts, fmt.Sprintf("cli:uid=%d", os.Getuid()), raw)
	var refusal *console.Refusal
	if errors.As(err, &refusal) {
		return adminAnswer{Refusal: &adminRefusal{Text: refusal.Text, NotFound: refusal.NotFound}}, nil
	}
	if err != nil {
		return answer, err
	}
	answer.Result, err = json.Marshal(result)
	return answer, err
}
