"""Compiling in processes of their own: importable by name, as spawned processes need."""

import random_expressions

import symgrad as sg


def compile_into_cache(number):
    """The kernel of a random expression's loss and gradients; it is on disk afterwards."""
    sample = random_expressions.make(number)
    sg.compile([sample.loss, *sg.gradient(sample.loss, sample.wrt)], dtype="float64", threads=1)
