"""Formulas as text, LaTeX and HTML."""
