// Package secret owns everything that is done with secrets and needs no
// knowledge of what they are for: random tokens and passwords, redacting types,
// constant-time comparison, the key ring with sealing and message
// authentication codes, sealed access tokens, and the pool in which password
// hashes are computed.
//
// The rules it serves: hash what is only compared (at least 112 random bits:
// [Digest] or [Ring.MAC]; fewer: [Ticket.Hash]), seal what must be read again
// ([Ring.Seal]), and never print either ([Token], [Text]).
//
// It does not own signing keys, password policy, Unicode normalisation, counting
// lanes, storage, or any noun of the product: purposes and contexts are strings
// that callers choose.
package secret
