package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// narrow is the width pages must fit without scrolling sideways (WCAG 2.2,
// 1.4.10 Reflow).
const narrow = 320

// axeRun checks the page with every rule of WCAG 2.2 A and AA and axe's own
// best practices. Violations come back as JSON; what axe cannot decide
// ("incomplete") is no violation.
const axeRun = `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v => ({
	id: v.id, impact: v.impact, help: v.help,
	nodes: v.nodes.map(n => ({html: n.html, why: n.failureSummary})),
}))))`

// violation is one rule of axe that a page breaks.
type violation struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML string `json:"html"`
		Why  string `json:"why"`
	} `json:"nodes"`
}

// CheckPage takes a picture of the page under that name and reports every axe
// violation, any placeholder that nobody filled and any horizontal overflow at
// 320 pixels as test errors.
func (t *Tab) CheckPage(name string) {
	t.tb.Helper()
	t.Screenshot(name)
	for _, v := range t.axe() {
		var where strings.Builder
		for _, n := range v.Nodes {
			fmt.Fprintf(&where, "\n  %s\n    %s", n.HTML, strings.ReplaceAll(n.Why, "\n", "\n    "))
		}
		t.tb.Errorf("%s (%s): axe %s, %s: %s%s", name, t.Look.Name, v.ID, v.Impact, v.Help, where.String())
	}
	if hole := regexp.MustCompile(`\{[a-z]+\}`).FindString(Evaluate[string](t, `document.body.innerText`)); hole != "" {
		t.tb.Errorf("%s (%s): a text shows its placeholder %s", name, t.Look.Name, hole)
	}
	if wide := t.overflow(); wide != "" {
		t.tb.Errorf("%s (%s): wider than %d px: %s", name, t.Look.Name, narrow, wide)
	}
}

// axe runs axe-core in an isolated world, because the pages' policy lets no
// foreign script in. Where JavaScript is off, it is switched on for axe alone:
// the page's own scripts were not loaded and stay away.
func (t *Tab) axe() []violation {
	t.tb.Helper()
	source, err := os.ReadFile(filepath.Join(t.suite.Clients, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.tb.Fatalf("read axe-core (npm ci in e2e/clients): %v", err)
	}
	if t.Look.NoScript {
		t.do("switch JavaScript on for axe", t.scripts(true))
		defer t.do("switch JavaScript off again", t.scripts(false))
	}
	report, err := evaluate[string](t, string(source)+"\n;"+axeRun)
	if err != nil {
		t.fatalf("run axe: %v", err)
	}
	var found []violation
	if err := json.Unmarshal([]byte(report), &found); err != nil {
		t.fatalf("read axe's report: %v", err)
	}
	return found
}

// overflow narrows the window and names the widest elements when the page is
// wider than it.
func (t *Tab) overflow() string {
	t.tb.Helper()
	t.do("narrow the window", t.viewport(narrow, t.Look.Height))
	defer t.do("widen the window again", t.viewport(t.Look.Width, t.Look.Height))
	return Evaluate[string](t, `(() => {
		const root = document.scrollingElement || document.documentElement, most = innerWidth;
		if (root.scrollWidth <= most) return "";
		const out = [...document.body.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > most + 0.5);
		return root.scrollWidth + " px: " + out.slice(-3).map(e => e.outerHTML.slice(0, 120)).join(" … ");
	})()`)
}
