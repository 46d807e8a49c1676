"""Expressions: the node, the closed sets of operations and scalar functions, and the functions that build them."""
