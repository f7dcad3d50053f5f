package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"simplon/modules/rp"
)

// maxValue is the longest claim shown, in runes.
const maxValue = 300

type frontView struct {
	People []string
	Issuer string
}

type startView struct{ Note, SignIn, Issuer string }

type problemView struct {
	Key, Code string
	// Again is where to start again.
	Again string
}

// homeView is the signed-in page.
type homeView struct {
	Note                  string
	Name, Email, Sub, SID string
	Verified              bool
	AuthTime, Until       string
	Scopes                []string
	Refreshable           bool
	Claims                []claimRow
	Other, OtherName      string
}

// claimRow is one claim with one value and where it came from.
type claimRow struct {
	Name, Value         string
	InIDToken, UserInfo bool
}

func newHomeView(f rp.Facts, info map[string]any, note string, other *application) *homeView {
	v := &homeView{
		Note: note, Sub: f.Subject, SID: f.SID, Scopes: f.Scopes, Refreshable: f.Refreshable,
		AuthTime: stamp(f.AuthTime), Until: stamp(f.AccessExpires),
		Claims: claimRows(f.IDClaims, info),
		Other:  "/" + other.path + "/", OtherName: other.name,
	}
	v.Name, v.Email = text(info, f.IDClaims, "name"), text(info, f.IDClaims, "email")
	v.Verified, _ = either(info, f.IDClaims, "email_verified").(bool)
	for _, name := range []string{v.Name, v.Email, v.Sub} {
		if v.Name = name; name != "" {
			break
		}
	}
	if !slices.Contains([]string{"refreshed", "no-userinfo"}, note) {
		v.Note = ""
	}
	return v
}

// either prefers userinfo, which is the newer word.
func either(info, id map[string]any, name string) any {
	if v, ok := info[name]; ok {
		return v
	}
	return id[name]
}

func text(info, id map[string]any, name string) string {
	s, _ := either(info, id, name).(string)
	return clip(s)
}

// claimRows sorts all claims by name; a claim with two different values has
// two rows.
func claimRows(id, info map[string]any) []claimRow {
	names := map[string]bool{}
	for name := range id {
		names[name] = true
	}
	for name := range info {
		names[name] = true
	}
	var rows []claimRow
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, inID := id[name]
		b, inInfo := info[name]
		left, right := show(name, a), show(name, b)
		if inID && inInfo && left == right {
			rows = append(rows, claimRow{clip(name), left, true, true})
			continue
		}
		if inID {
			rows = append(rows, claimRow{clip(name), left, true, false})
		}
		if inInfo {
			rows = append(rows, claimRow{clip(name), right, false, true})
		}
	}
	return rows
}

// show writes a claim's value for people who read claims.
func show(name string, v any) string {
	switch v := v.(type) {
	case string:
		return clip(v)
	case json.Number:
		if n, err := v.Int64(); err == nil && slices.Contains([]string{"exp", "iat", "nbf", "auth_time", "updated_at"}, name) {
			return v.String() + " (" + stamp(time.Unix(n, 0)) + ")"
		}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return clip(string(raw))
}

func clip(s string) string {
	if r := []rune(s); len(r) > maxValue {
		return string(r[:maxValue]) + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// stamp is the same in every language, as developers like it.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func codeOf(err error) string {
	var e *rp.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// problem shows what went wrong and where to start again.
func (s *Site) problem(w http.ResponseWriter, r *http.Request, app *application, status int, key, code string) {
	again := "/"
	if app != nil {
		again += app.path + "/"
	}
	s.render(w, r, status, "problem", app, &problemView{Key: key, Code: code, Again: again})
}
