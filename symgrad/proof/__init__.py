"""Proof.

Every printed gradient is checked by differences, along a direction at full size, and line by line by SymPy.
"""
