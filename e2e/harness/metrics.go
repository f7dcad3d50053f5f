package harness

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Samples are the values of one scrape, by name and labels as they were
// written: simplon_x_total{verdict="right"}.
type Samples map[string]float64

// Metrics scrapes the private listener.
func (n *Server) Metrics(tb testing.TB) Samples {
	tb.Helper()
	answer, err := http.Get(n.Private + "/metrics")
	if err != nil {
		tb.Fatalf("scrape: %v", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		tb.Fatalf("scrape: %s", answer.Status)
	}
	samples := Samples{}
	scanner := bufio.NewScanner(answer.Body)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if err := samples.read(scanner.Text()); err != nil {
			tb.Fatalf("scrape: %v", err)
		}
	}
	if err := scanner.Err(); err != nil {
		tb.Fatalf("scrape: %v", err)
	}
	return samples
}

// read takes one line of the Prometheus text format.
func (s Samples) read(line string) error {
	if line == "" || line[0] == '#' {
		return nil
	}
	at := strings.LastIndexByte(line, ' ')
	if at < 0 {
		return fmt.Errorf("no value in %q", line)
	}
	value, err := strconv.ParseFloat(line[at+1:], 64)
	if err != nil {
		return fmt.Errorf("value in %q: %w", line, err)
	}
	s[line[:at]] = value
	return nil
}

// Sum adds up all samples of a name whose labels contain all the given pairs,
// each written as label="value".
func (s Samples) Sum(name string, labels ...string) float64 {
	sum := 0.0
	for key, value := range s {
		head, rest, _ := strings.Cut(key, "{")
		if head != name {
			continue
		}
		matches := true
		for _, label := range labels {
			matches = matches && strings.Contains("{"+rest, label)
		}
		if matches {
			sum += value
		}
	}
	return sum
}

// Has tells whether a name was scraped at all.
func (s Samples) Has(name string) bool {
	for key := range s {
		if head, _, _ := strings.Cut(key, "{"); head == name {
			return true
		}
	}
	return false
}
