package demo

import (
	"net/http"
	"slices"

	"simplon/modules/rp"
)

// home is the start page without a session and the signed-in page with one.
func (s *Site) home(w http.ResponseWriter, r *http.Request, app *application) {
	session := app.rp.Session(r)
	if session == nil {
		s.start(w, r, app, r.URL.Query().Get("note"))
		return
	}
	waited := s.cfg.Now().Sub(session.Facts().Asked)
	if app.recheck && waited >= s.cfg.Recheck && s.silently(w, r, app, rp.ModeCheck) {
		return
	}
	info, err := app.rp.UserInfo(r.Context(), session)
	kind := rp.KindOf(err)
	if kind == rp.KindExpired && waited >= renewPause && s.silently(w, r, app, rp.ModeRenew) {
		return
	}
	if kind == rp.KindExpired || kind == rp.KindEnded {
		app.rp.End(w, r)
		s.start(w, r, app, "ended")
		return
	}
	note := r.URL.Query().Get("note")
	if err != nil {
		note = "no-userinfo"
	}
	s.render(w, r, http.StatusOK, "home", app, newHomeView(session.Facts(), info, note, s.other(app)))
}

// silently sends the browser through the provider without a page. It reports
// false, with nothing written, when the provider is not there to be asked.
func (s *Site) silently(w http.ResponseWriter, r *http.Request, app *application, mode rp.Mode) bool {
	return app.rp.SignIn(w, r, rp.Ask{Mode: mode, Locales: s.pages.lang(r)}) == nil
}

// startNotes are the notes a start page knows; any other in the address is
// left out.
func startNotes() []string { return []string{"ended", "signed-out"} }

func (s *Site) start(w http.ResponseWriter, r *http.Request, app *application, note string) {
	if !slices.Contains(startNotes(), note) {
		note = ""
	}
	s.render(w, r, http.StatusOK, "start", app, &startView{Note: note, SignIn: "/" + app.path + "/signin", Issuer: s.cfg.Issuer})
}

func (s *Site) signIn(w http.ResponseWriter, r *http.Request, app *application) {
	if err := app.rp.SignIn(w, r, rp.Ask{Mode: rp.ModeSignIn, Locales: s.pages.lang(r)}); err != nil {
		s.failed(w, r, app, err)
	}
}

// callback ends in a redirect wherever it can, so that a reload does not send
// a spent answer again.
func (s *Site) callback(w http.ResponseWriter, r *http.Request, app *application) {
	mode, err := app.rp.Callback(w, r)
	kind := rp.KindOf(err)
	switch {
	case err == nil && mode == rp.ModeRenew:
		s.back(w, r, app, "refreshed")
	case err == nil, mode != rp.ModeSignIn && kind == rp.KindUnavailable:
		// A provider that could not say leaves the session as it is.
		s.back(w, r, app, "")
	case kind == rp.KindEnded:
		s.back(w, r, app, "ended")
	default:
		s.failed(w, r, app, err)
	}
}

// refresh gets new tokens: by the refresh token where there is one, else by a
// silent round trip through the provider.
func (s *Site) refresh(w http.ResponseWriter, r *http.Request, app *application) {
	session := app.rp.Session(r)
	if session == nil {
		s.back(w, r, app, "ended")
		return
	}
	var err error
	if session.Facts().Refreshable {
		if err = app.rp.Refresh(r.Context(), session); err == nil {
			s.back(w, r, app, "refreshed")
			return
		}
	} else if err = app.rp.SignIn(w, r, rp.Ask{Mode: rp.ModeRenew, Locales: s.pages.lang(r)}); err == nil {
		return
	}
	if rp.KindOf(err) == rp.KindEnded {
		app.rp.End(w, r)
		s.back(w, r, app, "ended")
		return
	}
	s.failed(w, r, app, err)
}

func (s *Site) signOut(w http.ResponseWriter, r *http.Request, app *application) {
	if err := app.rp.SignOut(w, r, s.pages.lang(r)); err != nil {
		s.problem(w, r, app, http.StatusServiceUnavailable, "half-signed-out", "")
	}
}

func (s *Site) signedOut(w http.ResponseWriter, r *http.Request, app *application) {
	if app.rp.SignedOut(r) {
		s.back(w, r, app, "signed-out")
		return
	}
	s.back(w, r, app, "")
}

func (s *Site) back(w http.ResponseWriter, r *http.Request, app *application, note string) {
	to := "/" + app.path + "/"
	if note != "" {
		to += "?note=" + note
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// failed shows an error of the kit. The kit has already logged it.
func (s *Site) failed(w http.ResponseWriter, r *http.Request, app *application, err error) {
	switch rp.KindOf(err) {
	case rp.KindState:
		s.problem(w, r, app, http.StatusBadRequest, "state", "")
	case rp.KindIssuer, rp.KindToken:
		s.problem(w, r, app, http.StatusBadGateway, "untrusted", "")
	case rp.KindRefused:
		s.refused(w, r, app, err)
	default:
		s.problem(w, r, app, http.StatusServiceUnavailable, "unavailable", "")
	}
}

// refused explains the error codes that people cause or can cure; the others
// are for whoever registered the application.
func (s *Site) refused(w http.ResponseWriter, r *http.Request, app *application, err error) {
	code := codeOf(err)
	switch code {
	case "access_denied":
		s.problem(w, r, app, http.StatusForbidden, "denied", code)
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		s.problem(w, r, app, http.StatusUnauthorized, "interaction", code)
	case "server_error", "temporarily_unavailable":
		s.problem(w, r, app, http.StatusServiceUnavailable, "unavailable", code)
	default:
		s.problem(w, r, app, http.StatusBadGateway, "refused", code)
	}
}

func (s *Site) other(app *application) *application {
	for _, a := range s.apps {
		if a != app {
			return a
		}
	}
	return nil
}
