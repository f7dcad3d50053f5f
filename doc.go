// Package simplon is the root of the module: it holds no code, only the tests
// that keep the floors between packages.
package simplon
