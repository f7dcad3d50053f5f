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
type verb struct {
	act func(ctx context.Context, acts *console.Acts, actor string, in json.RawMessage) (any, error)
	// founds says that the act, done without a server, may begin an installation.
	founds bool
}

// decoded makes a verb of a typed act.
func decoded[In, Out any](act func(ctx context.Context, acts *console.Acts, actor string, in In) (Out, error)) verb {
	return verb{act: func(ctx context.Context, acts *console.Acts, actor string, raw json.RawMessage) (any, error) {
		var in In
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, fmt.Errorf("admin: request: %w", err)
		}
		return act(ctx, acts, actor, in)
	}}
}

func (v verb) founding() verb {
	v.founds = true
	return v
}

func (v verb) intent() intent {
	if v.founds {
		return toFound
	}
	return toUse
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
		}).founding(),
		"account.list": decoded(func(ctx context.Context, a *console.Acts, _ string, _ struct{}) ([]console.Account, error) {
			return a.Accounts(ctx)
		}),
		"account.show": decoded(func(ctx context.Context, a *console.Acts, _ string, in named) (console.Account, error) {
			return a.FindAccount(ctx, in.Name)
		}),
		"client.create": decoded(func(ctx context.Context, a *console.Acts, actor string, in console.NewClient) (console.Client, error) {
			return a.CreateClient(ctx, actor, in)
		}).founding(),
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
		}).founding(),
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

// peer is who is at the other end of an admin connection: its user id, and its
// name for events.
type peer struct {
	uid  int
	name string
}

// allowed reports whether the peer is the user of the server, or root.
func (p peer) allowed(own int) bool { return p.uid == own || p.uid == 0 }

// adminHandler serves the verbs to the user of the server and to root. The
// socket's mode keeps others out already; this holds where the folder was copied,
// or its mode changed.
func adminHandler(acts *console.Acts, own int, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	for name, v := range verbs() {
		mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
			who, ok := r.Context().Value(peerKey{}).(peer)
			if !ok || !who.allowed(own) {
				log.Warn("admin: another user is refused", slog.String("verb", name), slog.String("actor", who.name))
				w.WriteHeader(http.StatusForbidden)
				return
			}
			raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
			var result any
			if err == nil {
				result, err = v.act(r.Context(), acts, who.name, raw)
			}
			log.Info("admin", slog.String("verb", name), slog.String("actor", who.name), slog.Bool("ok", err == nil))
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

// adminServer listens on data_dir/admin.sock, readable by its owner only.
func adminServer(dir string, acts *console.Acts, log *slog.Logger) (*http.Server, net.Listener, error) {
	l, err := listenPrivately(filepath.Join(dir, socketName))
	if err != nil {
		return nil, nil, fmt.Errorf("admin socket: %w", err)
	}
	server := &http.Server{
		Handler: adminHandler(acts, os.Geteuid(), log), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		ErrorLog: serverErrors(log),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, peerOf(c))
		},
	}
	return server, l, nil
}

// call runs a verb: through the running server, or, where none holds the lock,
// by opening the installation itself. It waits a while for another command, or
// for a server that starts.
func call[Out any](s *session, c Config, name string, in any) (out Out, err error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("admin: %w", err)
	}
	if verbs()[name].intent() == toUse {
		if err := checkInstalled(c); err != nil {
			return out, err
		}
	}
	ctx, cancel := context.WithTimeout(s.ctx, lockPatience)
	defer cancel()
	var answer adminAnswer
	lock, err := waitLock(ctx, c.DataDir, func(context.Context) (bool, error) {
		answer, err = callServer(s.ctx, c.DataDir, name, raw)
		if errors.Is(err, errNoServer) {
			return false, nil
		}
		return true, err
	})
	if lock != nil {
		defer lock.release()
		answer, err = callHere(s, c, name, raw)
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

// callServer asks the running server. The error wraps errNoServer where there is
// none; then nothing was sent.
func callServer(ctx context.Context, dir, name string, raw []byte) (answer adminAnswer, err error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialAdmin(ctx, dir) }}
	defer transport.CloseIdleConnections()
	client := &http.Client{Timeout: time.Minute, Transport: transport}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin/v1/"+name, bytes.NewReader(raw))
	if err != nil {
		return answer, fmt.Errorf("admin: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return answer, fmt.Errorf("a simplon holds %s but does not answer on its admin socket: %w", dir, err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusForbidden {
		return answer, fmt.Errorf("admin: the server answers only its own user and root, not user id %d", os.Geteuid())
	}
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
	v := verbs()[name]
	in, err := openInstallation(s.ctx, c, v.intent(), quiet)
	if err != nil {
		return answer, err
	}
	defer in.close()
	result, err := v.act(s.ctx, in.acts, fmt.Sprintf("cli:uid=%d", os.Getuid()), raw)
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
