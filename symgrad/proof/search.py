"""The search for the cause of a wrong derivation: repairs one at a time, then in pairs; the first that fits names it.

Takes worlds, a draft and what is known of the loss; gives words and the repaired draft. Deterministic: no clock.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from symgrad.proof.causes import ALWAYS, CAUSES, NEVER, Cause
from symgrad.proof.drafts import Draft, infix, number, places
from symgrad.proof.factors import Factor, factor
from symgrad.proof.repairs import Known, Repair
from symgrad.proof.worlds import World, same

PAIRS = 40_000  # repairs in pairs that are tried
ROOT = next(cause for cause in CAUSES if cause.name == "factor")


@dataclass(frozen=True)
class Found:
    """What is wrong, a sentence a fault, and the formula put right."""

    causes: tuple[str, ...]
    draft: Draft
    simple: bool = True  # False: with a constant that is itself several faults, such as -2/N


class Search:
    """Tries repairs of one draft; `tried` counts them."""

    def __init__(self, worlds: Sequence[World], known: Known) -> None:
        self.worlds, self.known, self.tried = worlds, known, 0

    def right(self, draft: Draft) -> bool:
        """Whether a draft is the derivative at every point of every world."""
        for world in self.worlds:
            for point in world.points:
                value = world.value(draft, point)
                if value is None or not same(value, point):
                    return False
        return True

    def cause(self, draft: Draft) -> Found | None:
        """The simplest repair that makes a draft right; None when none does."""
        singles = [(cause, repair) for cause in CAUSES for repair in self._repairs(cause, draft)]
        odd = None
        for _, repair in singles:
            found = self._solved(repair)
            if found and found.simple:
                return found
            odd = odd or found
        pair = self._pair(draft, [(cause, repair) for cause, repair in singles if not repair.open])
        return pair if pair and pair.simple else odd or pair

    def _repairs(self, cause: Cause, draft: Draft) -> Iterator[Repair]:
        for place in places(draft):
            yield from cause.repairs(place, self.known)

    def _pair(self, draft: Draft, singles: Sequence[tuple[Cause, Repair]]) -> Found | None:
        """Two faults: any with a constant factor of the whole, then every two, likely ones first."""
        firsts = [(cause, repair, repair.make()) for cause, repair in singles]
        odd = None
        for _, repair, changed in firsts:
            for whole in ROOT.repairs(next(places(changed)), self.known):
                found = self._solved(whole, repair)
                if found and found.simple:
                    return found
                odd = odd or found
        limit, before = self.tried + PAIRS, self._fit(draft)
        stages: dict[int, list[tuple[Cause, Repair, Draft]]] = {}
        for first in firsts:  # a repair that puts shapes right is tried before one that spoils them
            stages.setdefault(self._fit(first[2]) - before, []).append(first)
        for gain in sorted(stages, reverse=True):
            for found in self._seconds(stages[gain], gain):
                if found and found.simple:
                    return found
                odd = odd or found
                if self.tried >= limit:
                    return odd
        return odd

    def _seconds(self, firsts: Sequence[tuple[Cause, Repair, Draft]], gain: int) -> Iterator[Found | None]:
        """The outcome of every pair of repairs."""
        kinds = [(i, cause) for i, cause in enumerate(CAUSES) if cause.pairs != NEVER]
        order = sorted(
            itertools.product(kinds, repeat=2), key=lambda two: (two[1][1].pairs != ALWAYS, two[0][0] + two[1][0])
        )
        for (i, one), (j, other) in order:
            once = i <= j or other is ROOT  # else the same two in the other order
            if gain > 0 or (once and one.pairs == ALWAYS):
                for cause, repair, changed in firsts:
                    if cause is one:
                        for second in self._repairs(other, changed):
                            yield self._solved(second, repair)

    def _fit(self, draft: Draft) -> int:
        """How well the shapes fit: less one for each part without a shape, plus one for that of the derivative."""
        world = self.worlds[0]
        shapes = [world.shape_of(place.node) for place in places(draft)]
        return (shapes[0] == world.shape) - shapes.count(None)

    def _solved(self, repair: Repair, first: Repair | None = None) -> Found | None:
        """What a repair finds, after another one; its open constants solved for."""
        self.tried += 1
        before = (first.words(),) if first else ()
        if not repair.open:
            draft = repair.make()
            return Found((*before, repair.words()), draft) if self.right(draft) else None
        factors = self._constants(repair)
        if factors is None or (first and not all(f.nice for f in factors)):
            return None
        draft = repair.make(*(f.times for f in factors))
        simple = all(f.simple or f.is_one for f in factors) and [f.is_one for f in factors].count(False) < 2
        return Found((*before, repair.words(*factors)), draft, simple) if self.right(draft) else None

    def _constants(self, repair: Repair) -> list[Factor] | None:
        """The open constants of a repair, equal in all worlds as expressions over sizes."""
        found = []
        for world in self.worlds:
            constants = _solve(world, repair)
            if constants is None:
                return None
            found.append(constants)
        tables = [world.sizes for world in self.worlds]
        factors = [factor(values, tables) for values in zip(*found, strict=True)]
        return None if any(f is None for f in factors) else [f for f in factors if f is not None]


def _zero(draft: Draft) -> Draft:
    return infix(draft, "*", number(0))


def _solve(world: World, repair: Repair) -> list[float] | None:
    """The constants with which a repair fits in one world, taking it to be linear in them."""
    keep = functools.partial(lambda draft: draft)
    drafts = [repair.make(*(keep if i == j else _zero for j in range(repair.open))) for i in range(repair.open)]
    nothing = repair.make(*[_zero] * repair.open)
    general = [point for point in world.points if not point.kink]
    columns, aims = [], []
    for point in general:
        values = [world.value(draft, point) for draft in (nothing, *drafts)]
        if any(v is None or not np.isfinite(v).all() for v in values):
            return None
        base, *rest = (np.ravel(v) for v in values if v is not None)
        columns.append(np.stack([v - base for v in rest], axis=-1))
        aims.append(np.ravel(point.truth) - base)
        if not _fits(columns[-1], aims[-1], point.tolerance):
            return None
    matrix, aim = np.concatenate(columns), np.concatenate(aims)
    constants, _, rank, _ = np.linalg.lstsq(matrix, aim, rcond=None)
    small = 1e-9 * max(1.0, float(np.abs(constants).max(initial=0.0)))
    if rank < repair.open or (np.abs(constants) < small).any():
        return None
    return [float(c) for c in constants]


def _fits(matrix: np.ndarray, aim: np.ndarray, tolerance: float) -> bool:
    """Whether some constants bring the columns to the aim at one point."""
    if matrix.shape[1] == 1:  # the usual case, without a decomposition
        column = matrix[:, 0]
        largest = np.abs(column).argmax()
        constant = aim[largest] / column[largest] if column[largest] else 0.0
        return bool((np.abs(constant * column - aim) <= 10 * tolerance).all())
    constants = np.linalg.lstsq(matrix, aim, rcond=None)[0]
    return bool((np.abs(matrix @ constants - aim) <= 10 * tolerance).all())
