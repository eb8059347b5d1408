"""Seals a bundle, and verifies what somebody else sealed: sums, signatures, sign-offs."""
