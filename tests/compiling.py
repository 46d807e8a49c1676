"""Compiling in processes of their own: importable by name, as spawned processes need."""

import random_expressions

import symgrad as sg


def compile_into_cache(number):
    """The kernel of a random expression's loss, gradients and a second derivative; it is on disk afterwards."""
    sg.compile(random_expressions.derivatives(number), dtype="float64", threads=1)
