package e2e

import (
	"net/http"
	"testing"

	"simplon/e2e/harness"
)

// parallel is how many do the same thing at the same moment.
const parallel = 50

// onEveryFleet runs a race on one node with SQLite, on one with PostgreSQL, and
// on two that share a PostgreSQL.
func onEveryFleet(t *testing.T, settings harness.Settings, race func(t *testing.T, nodes []*harness.Server)) {
	harness.OnEachEngine(t, func(t *testing.T, engine harness.Engine) {
		race(t, []*harness.Server{suite.Start(t, engine, settings)})
	})
	t.Run("two nodes", func(t *testing.T) {
		first := suite.Start(t, harness.PostgreSQL, settings)
		race(t, []*harness.Server{first, suite.Join(t, first)})
	})
}

// onNodes is the application as each node sees it.
func onNodes(t *testing.T, app *harness.App, nodes []*harness.Server) []*harness.App {
	apps := make([]*harness.App, len(nodes))
	for i, node := range nodes {
		apps[i] = app.Via(t, node)
	}
	return apps
}

// outcome is one of many answers of the token endpoint.
type outcome struct {
	harness.TokenAnswer
	err error
}

// A17: of 50 that redeem one code at once exactly one gets tokens, and because
// the code came twice, these tokens are dead afterwards.
func TestRaceA17CodeIsRedeemedOnceAndRevoked(t *testing.T) {
	onEveryFleet(t, nil, func(t *testing.T, nodes []*harness.Server) {
		anna := nodes[0].NewPerson(t, "anna@example.org")
		app := nodes[0].NewApp(t)
		code, verifier := app.SignIn(t, nodes[0].NewBrowser(t), anna)
		apps := onNodes(t, app, nodes)

		answers := harness.AtOnce(parallel, func(i int) outcome {
			answer, err := apps[i%len(apps)].Redeem(code, verifier)
			return outcome{answer, err}
		})

		winners := successes(t, answers)
		if len(winners) != 1 {
			t.Fatalf("%d of %d got tokens", len(winners), parallel)
		}
		for i, a := range apps {
			if status, body, err := a.UserInfo(winners[0].AccessToken); err != nil || status != http.StatusUnauthorized {
				t.Errorf("node %d: the winner's access token lives: %d %s %v", i, status, body, err)
			}
			wantInvalidGrant(t, "the winner's refresh token", a, winners[0].RefreshToken)
		}
	})
}

// A code that came once is good, and a later second redemption ends what the
// first one got.
func TestA17SecondRedemptionRevokes(t *testing.T) {
	harness.OnEachEngine(t, func(t *testing.T, engine harness.Engine) {
		server := suite.Start(t, engine, nil)
		anna := server.NewPerson(t, "anna@example.org")
		app := server.NewApp(t)
		code, verifier := app.SignIn(t, server.NewBrowser(t), anna)
		tokens, err := app.Redeem(code, verifier)
		if err != nil || tokens.Status != http.StatusOK {
			t.Fatalf("redeem: %v %+v", err, tokens)
		}
		if status, body, err := app.UserInfo(tokens.AccessToken); err != nil || status != http.StatusOK {
			t.Fatalf("userinfo: %d %s %v", status, body, err)
		}
		again, err := app.Redeem(code, verifier)
		if err != nil || again.Status != http.StatusBadRequest || again.Error != "invalid_grant" {
			t.Errorf("second redemption: %v %+v", err, again)
		}
		if status, _, err := app.UserInfo(tokens.AccessToken); err != nil || status != http.StatusUnauthorized {
			t.Errorf("the access token lives on: %d %v", status, err)
		}
		wantInvalidGrant(t, "the refresh token", app, tokens.RefreshToken)
	})
}

// A17: 50 refreshes with one token at once are one refresh: all get the same
// successor, which works.
func TestRaceA17RefreshHasOneSuccessor(t *testing.T) {
	onEveryFleet(t, harness.Settings{"ttl.refresh_grace": "60s"}, func(t *testing.T, nodes []*harness.Server) {
		for _, kind := range []string{"web", "spa"} {
			t.Run(kind, func(t *testing.T) {
				anna := nodes[0].NewPerson(t, kind+"@example.org")
				app := newAppOfKind(t, nodes[0], kind)
				tokens := app.Tokens(t, nodes[0].NewBrowser(t), anna)
				apps := onNodes(t, app, nodes)

				answers := harness.AtOnce(parallel, func(i int) outcome {
					answer, err := apps[i%len(apps)].Refresh(tokens.RefreshToken)
					return outcome{answer, err}
				})

				winners := successes(t, answers)
				if len(winners) != parallel {
					t.Errorf("%d of %d got tokens within the grace", len(winners), parallel)
				}
				successors := map[string]int{}
				for _, w := range winners {
					successors[w.RefreshToken]++
				}
				if len(successors) != 1 || successors[tokens.RefreshToken] != 0 {
					t.Fatalf("%d distinct successors", len(successors))
				}
				for successor := range successors {
					next, err := app.Refresh(successor)
					if err != nil || next.Status != http.StatusOK {
						t.Errorf("the successor does not work: %v %+v", err, next)
					}
				}
			})
		}
	})
}

// A17: after the grace, a spent refresh token means theft: the grant ends, with
// its access tokens and the successor.
func TestA17ReuseAfterTheGraceEndsTheGrant(t *testing.T) {
	onEveryFleet(t, harness.Settings{"ttl.refresh_grace": "1s"}, func(t *testing.T, nodes []*harness.Server) {
		anna := nodes[0].NewPerson(t, "anna@example.org")
		app := nodes[0].NewApp(t)
		last := app.Via(t, nodes[len(nodes)-1])
		tokens := app.Tokens(t, nodes[0].NewBrowser(t), anna)
		successor, err := app.Refresh(tokens.RefreshToken)
		if err != nil || successor.Status != http.StatusOK {
			t.Fatalf("refresh: %v %+v", err, successor)
		}
		var reused harness.TokenAnswer
		harness.Eventually(t, "the grace is over", func() bool {
			reused, err = last.Refresh(tokens.RefreshToken)
			if err == nil && reused.Status == http.StatusOK && reused.RefreshToken != successor.RefreshToken {
				t.Error("a repeat within the grace brought another successor")
			}
			return err != nil || reused.Status != http.StatusOK
		})
		if err != nil || reused.Status != http.StatusBadRequest || reused.Error != "invalid_grant" {
			t.Errorf("reuse: %v %+v", err, reused)
		}
		wantInvalidGrant(t, "the successor", app, successor.RefreshToken)
		if status, _, err := last.UserInfo(successor.AccessToken); err != nil || status != http.StatusUnauthorized {
			t.Errorf("the successor's access token lives on: %d %v", status, err)
		}
	})
}

func newAppOfKind(t *testing.T, node *harness.Server, kind string) *harness.App {
	if kind == "spa" {
		return node.NewPublicApp(t)
	}
	return node.NewApp(t)
}

// successes are the answers with tokens; every other one must be a clean
// invalid_grant.
func successes(t *testing.T, answers []outcome) []harness.TokenAnswer {
	t.Helper()
	var won []harness.TokenAnswer
	other := map[string]int{}
	for _, a := range answers {
		switch {
		case a.err != nil:
			other[a.err.Error()]++
		case a.Status == http.StatusOK:
			won = append(won, a.TokenAnswer)
		case a.Status != http.StatusBadRequest || a.TokenAnswer.Error != "invalid_grant":
			other[http.StatusText(a.Status)+" "+a.Body]++
		}
	}
	for what, times := range other {
		t.Errorf("%d times: %s", times, what)
	}
	return won
}

func wantInvalidGrant(t *testing.T, what string, app *harness.App, refresh string) {
	t.Helper()
	answer, err := app.Refresh(refresh)
	if err != nil || answer.Status != http.StatusBadRequest || answer.Error != "invalid_grant" {
		t.Errorf("%s still works: %v %d %s", what, err, answer.Status, answer.Body)
	}
}
