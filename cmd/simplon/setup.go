package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"simplon/console"
)

// print writes a result as JSON, or as text for people.
func (s *session) print(v any, text func(io.Writer)) error {
	if !s.json {
		text(s.out)
		return nil
	}
	e := json.NewEncoder(s.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

type setupLinkCommand struct {
	Emergency bool `help:"Make a further administrator although there is one. No account that exists is touched."`
}

// Run makes a set-up link. It is printed to a terminal only (or as JSON, for a
// script that asked for it); otherwise it stands in data_dir/setup-link.
func (n setupLinkCommand) Run(s *session) error {
	c, err := s.config()
	if err != nil {
		return err
	}
	link, err := call[console.SetupLink](s, c, "setup-link", setupLinkRequest(n))
	if err != nil {
		return err
	}
	path, err := writeSetupLink(c.DataDir, link)
	if err != nil {
		return err
	}
	return s.print(link, func(w io.Writer) {
		if isTerminal(s.out) {
			fmt.Fprintf(w, "%s\nUse it before %s.\n", link.URL, link.ExpiresAt.Local().Format("15:04"))
			return
		}
		fmt.Fprintf(w, "The link stands in %s until %s.\n", path, link.ExpiresAt.Format(time.RFC3339))
	})
}

// setupLinkName is the file in data_dir that holds the set-up link.
const setupLinkName = "setup-link"

// writeSetupLink puts the link into data_dir/setup-link, readable by its owner
// only, in place of an older one.
func writeSetupLink(dir string, link console.SetupLink) (string, error) {
	path := filepath.Join(dir, setupLinkName)
	f, err := os.CreateTemp(dir, ".setup-link-*") // made with 0600
	if err != nil {
		return "", fmt.Errorf("set-up link: %w", err)
	}
	_, err = fmt.Fprintln(f, link.URL)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("set-up link: %w", err)
	}
	return path, nil
}

// removeSetupLink takes the file of a spent link away: it opens nothing any more.
func removeSetupLink(dir string, log *slog.Logger) {
	if err := os.Remove(filepath.Join(dir, setupLinkName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("the file of the spent set-up link stays", slog.String("error", err.Error()))
	}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

type initCommand struct {
	Issuer string `required:"" help:"Address of the installation: https://host."`
	Dir    string `default:"." type:"path" help:"Folder for the file."`
}

// Run writes a configuration file for production.
func (n initCommand) Run(s *session) error {
	path, err := writeInit(n.Issuer, n.Dir)
	if err != nil {
		return usageError{err}
	}
	return s.print(map[string]string{"config": path}, func(w io.Writer) {
		fmt.Fprintf(w, "Wrote %s. Read it, then: simplon check-config --config %s\n", path, path)
	})
}

type checkConfigCommand struct{}

// Run checks the configuration.
func (checkConfigCommand) Run(s *session) error {
	c, err := s.config()
	if err != nil {
		return err
	}
	return s.print(map[string]any{"ok": true, "issuer": c.Issuer.String()}, func(w io.Writer) {
		fmt.Fprintf(w, "The configuration is good. Issuer: %s\n", c.Issuer)
	})
}
