package keys

import "crypto"

// GenerateBy makes keys in another way.
func (s *Stock) GenerateBy(f func() (crypto.Signer, error)) { s.generate = f }

// Halves is halves.
func Halves(der []byte, size int) ([]byte, error) { return halves(der, size) }
