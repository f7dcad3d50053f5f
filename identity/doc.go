// Package identity owns the nouns of Simplon and the rules about them: who an
// account is, what a client may ask, which step a sign-in takes next, when a
// lane of guesses locks. Everything here is pure: no clock, no database, no
// network, no randomness of its own. Time and random bytes are handed in.
//
// It does not own storage of these nouns (package storage), their secrets
// (package secret) or any page (packages web, authserver and siblings).
package identity
