"""Calculus: the derivative rules, the reverse sweep, and the identities that bring formulas to textbook form."""
