package harness

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// Page is an answer as a browser without scripts sees it.
type Page struct {
	Status int
	URL    *url.URL // where it came from
	Header http.Header
	Body   []byte
	// Next is where a redirect or a Refresh header leads when that is another
	// origin: the Browser does not go there.
	Next *url.URL

	root *html.Node
}

// parse reads the body once, if it is HTML.
func (p *Page) parse() error {
	if !strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
		return nil
	}
	root, err := html.Parse(bytes.NewReader(p.Body))
	if err != nil {
		return fmt.Errorf("parse %s: %w", p.URL, err)
	}
	p.root = root
	return nil
}

// ByID returns the element with the id, or nil.
func (p *Page) ByID(id string) *Element {
	return p.first(func(n *html.Node) bool { return attribute(n, "id") == id })
}

// ByRole returns the first element with the role, or nil.
func (p *Page) ByRole(role string) *Element {
	return p.first(func(n *html.Node) bool { return attribute(n, "role") == role })
}

func (p *Page) first(match func(*html.Node) bool) *Element {
	if p.root == nil {
		return nil
	}
	for n := range p.root.Descendants() {
		if n.Type == html.ElementNode && match(n) {
			return &Element{n}
		}
	}
	return nil
}

// Forms returns every form of the page, in order.
func (p *Page) Forms() []*Form {
	var forms []*Form
	if p.root == nil {
		return nil
	}
	for n := range p.root.Descendants() {
		if n.Type == html.ElementNode && n.Data == "form" {
			forms = append(forms, newForm(p, n))
		}
	}
	return forms
}

// button returns the button with the name and value, or nil.
func (p *Page) button(name, value string) *Element {
	return p.first(func(n *html.Node) bool {
		return n.Data == "button" && attribute(n, "name") == name && attribute(n, "value") == value
	})
}

// FormOf returns the form that holds the element with the id.
func (p *Page) FormOf(id string) (*Form, error) { return p.formOf(p.ByID(id), id) }

func (p *Page) formOf(element *Element, id string) (*Form, error) {
	if element == nil {
		return nil, fmt.Errorf("no element %q at %s (status %d): %s", id, p.URL, p.Status, p.Text())
	}
	for n := range element.node.Ancestors() {
		if n.Data == "form" {
			return newForm(p, n), nil
		}
	}
	return nil, fmt.Errorf("%q at %s stands in no form", id, p.URL)
}

// Text is all text of the page, white space folded.
func (p *Page) Text() string {
	if p.root == nil {
		return string(p.Body)
	}
	return (&Element{p.root}).Text()
}

// Element is one element of a page.
type Element struct{ node *html.Node }

// Attr returns an attribute, "" when it is absent.
func (e *Element) Attr(name string) string { return attribute(e.node, name) }

// Has tells whether an attribute is there, even if empty.
func (e *Element) Has(name string) bool {
	for _, a := range e.node.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

// Text is the text within, white space folded.
func (e *Element) Text() string {
	var text strings.Builder
	for n := range e.node.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" && n.Parent.Data != "script" {
			text.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// Form is a form as the page filled it; change Values before sending it.
type Form struct {
	Method string // GET or POST
	Action *url.URL
	Values url.Values
	page   *Page
}

// newForm collects the fields that a browser would send. Buttons are not among
// them: set the pressed one in Values.
func newForm(p *Page, n *html.Node) *Form {
	f := &Form{Method: strings.ToUpper(attribute(n, "method")), Values: url.Values{}, page: p}
	if f.Method == "" {
		f.Method = http.MethodGet
	}
	action, err := p.URL.Parse(attribute(n, "action"))
	if err != nil {
		action = p.URL
	}
	f.Action = action
	for field := range n.Descendants() {
		if field.Type != html.ElementNode || attribute(field, "name") == "" {
			continue
		}
		e := Element{field}
		if e.Has("disabled") || field.Data != "input" {
			continue
		}
		switch attribute(field, "type") {
		case "submit", "button", "image", "reset":
		case "checkbox", "radio":
			if e.Has("checked") {
				f.Values.Add(e.Attr("name"), e.Attr("value"))
			}
		default:
			f.Values.Add(e.Attr("name"), e.Attr("value"))
		}
	}
	return f
}

// LinksTo tells whether an attribute that a browser follows holds the address.
func (p *Page) LinksTo(address string) bool {
	return p.first(func(n *html.Node) bool {
		for _, name := range []string{"href", "src", "action", "formaction", "content"} {
			if attribute(n, name) == address {
				return true
			}
		}
		return false
	}) != nil
}
