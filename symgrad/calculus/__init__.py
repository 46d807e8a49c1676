"""Derivatives and simplification."""
