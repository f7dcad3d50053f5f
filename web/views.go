package web

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Gate is embedded in the views between an application and its person.
type Gate struct {
	// Client is the application's name on the signpost; "" shows none.
	Client string
	// ClientURL is the application's own page, or "".
	ClientURL string
}

// LoginPage asks for the address. Its form posts login, password (usually
// empty; a password manager may have filled it) and csrf to Action.
type LoginPage struct {
	Gate
	Action string
	Login  string
	// Problem is a problem key ("sign-in", "address-invalid" …) or "".
	Problem string
	// ProblemID is the id at the end of the error summary, or "".
	ProblemID string
	// ForgotURL and RegisterURL are shown when non-empty.
	ForgotURL, RegisterURL string
}

// PasswordPage asks for the password. Its form posts login, password and csrf
// to Action; "Change" posts csrf alone to ChangeAction.
type PasswordPage struct {
	Gate
	Action, Login, ChangeAction string
	// Host stands in the note on where to type the password (S2).
	Host               string
	Problem, ProblemID string
	ForgotURL          string
	// Retry, when positive, adds to the problem when the next attempt is
	// worth making.
	Retry time.Duration
}

// ConsentScope is one row of a consent page. Known names (openid, profile,
// email, address, phone, offline_access) are explained; others are shown as
// they are.
type ConsentScope struct{ Name string }

// ConsentPage asks whether an application may see things. Its form posts
// decision=allow or decision=deny and csrf to Action; "Use another account"
// posts csrf alone to SwitchAction and is hidden when that is empty.
type ConsentPage struct {
	Gate
	Action, Account, SwitchAction string
	// AccountID comes back in the field account, so that an answer counts for
	// the person it was asked of.
	AccountID string
	Scopes    []ConsentScope
	// ClientHost is where the answer goes, shown in full.
	ClientHost          string
	PolicyURL, TermsURL string
}

// ContinuePage sends the browser on with a Refresh header and a visible link,
// because form-action 'self' blocks a redirect after a form. URL may have a
// native application's scheme but none that runs script.
type ContinuePage struct {
	Gate
	URL string
}

// Field is one hidden form field.
type Field struct{ Name, Value string }

// FormPostPage posts Fields to an application (OAuth 2.0 Form Post Response
// Mode), by itself with JavaScript, by its button without. Action must be
// absolute http or https, and its host no IPv6 literal.
type FormPostPage struct {
	Gate
	Action string
	Fields []Field
}

// AppLink is an application to go to.
type AppLink struct{ Name, URL string }

// HomePage is the signed-in page at "/" until there are account pages.
// "Sign out" posts csrf to SignOutAction.
type HomePage struct {
	Account string
	Name    string
	// Since is when this session began, in the zone to show.
	Since         time.Time
	Administrator bool
	SignOutAction string
	Apps          []AppLink
}

// SignOutPage asks before signing out. Its form posts Hidden, csrf and
// decision=sign-out or decision=stay to Action.
type SignOutPage struct {
	Gate
	Action  string
	Account string
	Hidden  []Field
}

// SignedOutPage says that it is done. ContinueURL leads back to the
// application, or is "".
type SignedOutPage struct {
	Gate
	ContinueURL string
}

// SetupPage makes the first administrator. Its form posts name, login,
// password and csrf to Action.
type SetupPage struct {
	Action, Login, Name string
	Problem, ProblemID  string
	Host                string
	// Least is how many characters a new password must have.
	Least int
}

func (v SetupPage) least() int { return v.Least }

// SetupDonePage follows SetupPage.
type SetupDonePage struct{ SignInURL string }

// ErrorPage is what an Error looks like. Handlers usually return an *Error
// instead.
type ErrorPage struct {
	Key        string
	Args       map[string]string
	RetryAfter time.Duration
	Action     *Link
	// ID is the request id, shown at the end.
	ID string
}

// RedirectErrorPage tells a developer that a redirect address is not
// registered, without going there.
type RedirectErrorPage struct {
	// Client is the application's name.
	Client string
	// Received is the address as it came; control characters are shown as
	// U+FFFD.
	Received string
	// Rule is a key under redirect.rule: "exact" (default), "missing" (or
	// sent twice), "scheme", "fragment".
	Rule string
	// ID is the request id, shown at the end.
	ID string
}

func (v LoginPage) page() pageInfo {
	return pageInfo{name: "login", title: "login.title", form: true, problem: v.Problem != ""}
}

func (v PasswordPage) page() pageInfo {
	return pageInfo{name: "password", title: "password.title", form: true, problem: v.Problem != ""}
}

func (v PasswordPage) wait() time.Duration { return v.Retry }

func (v ConsentPage) page() pageInfo {
	return pageInfo{name: "consent", title: "consent.title", args: []string{"client", v.Who()}, wide: "list", form: true}
}

func (ContinuePage) page() pageInfo {
	return pageInfo{name: "continue", title: "continue.title", transient: true}
}

func (FormPostPage) page() pageInfo {
	return pageInfo{name: "form_post", title: "continue.title", transient: true}
}

func (HomePage) page() pageInfo {
	return pageInfo{name: "home", title: "home.title", wide: "list", form: true, strictCOOP: true}
}

func (SignOutPage) page() pageInfo {
	return pageInfo{name: "sign_out", title: "sign-out.title", form: true}
}

func (SignedOutPage) page() pageInfo { return pageInfo{name: "signed_out", title: "signed-out.title"} }

func (v SetupPage) page() pageInfo {
	return pageInfo{name: "setup", title: "setup.title", form: true, problem: v.Problem != "", strictCOOP: true}
}

func (SetupDonePage) page() pageInfo {
	return pageInfo{name: "setup_done", title: "setup-done.title", transient: true, strictCOOP: true}
}

func (v ErrorPage) page() pageInfo {
	return pageInfo{name: "error", title: "error." + v.Key + ".title", args: flatten(v.Args), wide: "error"}
}

func (v RedirectErrorPage) page() pageInfo {
	return pageInfo{name: "redirect_error", title: v.TitleKey(), args: []string{"client", v.Client}, wide: "error"}
}

func flatten(args map[string]string) []string {
	out := make([]string, 0, 2*len(args))
	for name, value := range args {
		out = append(out, name, value)
	}
	return out
}

// Known reports whether the catalogues explain this scope.
func (c ConsentScope) Known() bool {
	switch c.Name {
	case "openid", "profile", "email", "address", "phone", "offline_access":
		return true
	}
	return false
}

// Icon is the row's symbol in the sprite.
func (c ConsentScope) Icon() string {
	if c.Known() {
		return c.Name
	}
	return "key"
}

// TitleKey is the catalogue key of the heading, with or without a name.
func (v RedirectErrorPage) TitleKey() string {
	if v.Client == "" {
		return "redirect.title-unnamed"
	}
	return "redirect.title"
}

// TextKey is the catalogue key of the sentence below it.
func (v RedirectErrorPage) TextKey() string {
	if v.Client == "" {
		return "redirect.text-unnamed"
	}
	return "redirect.text"
}

// Who names the application, by its host when it has no name.
func (v ConsentPage) Who() string {
	if v.Client != "" {
		return v.Client
	}
	return v.ClientHost
}

// Invalid reports which field of the set-up form the problem is about.
func (v SetupPage) Invalid(field string) bool {
	return v.Problem != "" && problemField(v.Problem) == field
}

func problemField(problem string) string {
	switch {
	case strings.HasPrefix(problem, "address-"):
		return "login"
	case strings.HasPrefix(problem, "name-"):
		return "name"
	}
	return "password"
}

// RuleKey is the catalogue key of the rule that was broken.
func (v RedirectErrorPage) RuleKey() string {
	if v.Rule == "" {
		return "redirect.rule.exact"
	}
	return "redirect.rule." + v.Rule
}

// Shown is the received address with control characters made visible.
func (v RedirectErrorPage) Shown() string {
	return strings.Map(func(c rune) rune {
		if clean(string(c)) != string(c) {
			return '\uFFFD'
		}
		return c
	}, v.Received)
}

// Target is the vetted address as a link; html/template alone would refuse
// the schemes of native applications.
func (v ContinuePage) Target() template.URL { return template.URL(v.URL) }

func (v ContinuePage) headers(h http.Header) error {
	u, err := url.Parse(v.URL)
	if err != nil {
		return fmt.Errorf("continue address: %w", err)
	}
	switch strings.ToLower(u.Scheme) {
	case "", "javascript", "data", "vbscript", "blob", "file", "about", "filesystem", "view-source":
		return fmt.Errorf("continue address has scheme %q", u.Scheme)
	}
	if strings.ContainsFunc(v.URL, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '"' || c == '\'' }) {
		return errors.New("continue address has a character that must be encoded")
	}
	h.Set("Refresh", "0; url="+v.URL)
	return nil
}

func (v FormPostPage) headers(h http.Header) error {
	u, err := url.Parse(v.Action)
	if err != nil {
		return fmt.Errorf("form_post address: %w", err)
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || strings.ContainsAny(u.Host, " ;,'\"") {
		return errors.New("form_post address is not absolute http or https")
	}
	if strings.HasPrefix(u.Host, "[") {
		// CSP Level 3, host-source: no brackets. Chromium drops the source and
		// blocks the form, and the person is left on a page that does nothing.
		return fmt.Errorf("form_post address has the IPv6 literal %s, which form-action cannot name", u.Host)
	}
	h.Set("Content-Security-Policy", fmt.Sprintf(pageCSP, u.Scheme+"://"+u.Host))
	// With same-origin the application would see Origin: null and refuse.
	h.Set("Referrer-Policy", "strict-origin")
	return nil
}
