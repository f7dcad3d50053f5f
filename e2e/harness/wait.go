package harness

import (
	"context"
	"sync"
	"testing"
	"time"
)

// lookAgain is how often a condition that sends no word of its own is looked at.
const lookAgain = 15 * time.Millisecond

// Until looks at a condition, now and again, until it holds or ctx ends.
func Until(ctx context.Context, condition func() bool) error {
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

// Eventually fails the test when a condition does not come true in time.
func Eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	if err := Until(ctx, condition); err != nil {
		tb.Fatalf("wait until %s: %v", what, err)
	}
}

// AtOnce runs n calls that start together and returns what each answered.
func AtOnce[T any](n int, call func(i int) T) []T {
	results := make([]T, n)
	start := make(chan struct{})
	var ready, done sync.WaitGroup
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			results[i] = call(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return results
}
