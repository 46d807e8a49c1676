"""Expressions: nodes, operations, shapes."""
