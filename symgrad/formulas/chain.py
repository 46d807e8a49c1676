"""The chain rule of lecture slides as text and LaTeX: the product of labelled factors, then each factor written out.

Takes the paths and factors that `calculus.chain` found; knows how they are laid out, nothing of how they are derived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from symgrad.calculus.chain import Chain, Factor, Paths, chain
from symgrad.calculus.gradient import gradient
from symgrad.calculus.simplify import simplified
from symgrad.expression import sizes
from symgrad.expression.node import Expr
from symgrad.expression.ops import Leaf, Named
from symgrad.formulas.document import Definition, aligned, definitions, titled
from symgrad.formulas.latex import latex
from symgrad.formulas.names import lowered
from symgrad.formulas.names import text as shown
from symgrad.formulas.text import text, wrapped
from symgrad.formulas.tree import PRODUCT, SUM, Braced, Infix, Math, Over, Symbol, Words


@dataclass(frozen=True)
class ChainRule:
    """∂L/∂W as a sum over paths of labelled factors: prints as text, shows as LaTeX with braces in a notebook."""

    chain: Chain

    @property
    def title(self) -> str:
        """The left side, ∂L/∂W1."""
        return f"∂L/∂{shown(self.chain.wrt.label)}"

    @cached_property
    def factors(self) -> dict[str, Factor]:
        """Every factor once, by its title ∂net/∂W1."""
        return {title_of(s, f): f for s in self.chain.sums for f in s.factors}

    @cached_property
    def written(self) -> tuple[list[Definition], list[Definition]]:
        """Every factor as a formula, and the list of the names in them. A factor that has a name is that name."""
        main, where = definitions({title: factor.jacobian for title, factor in self.factors.items()})
        return [_by_name(d) for d in main], where

    @cached_property
    def result(self) -> tuple[list[Definition], list[Definition]]:
        """The gradient that the sweep derives, for the whole batch."""
        found = simplified([gradient(self.chain.loss, self.chain.wrt)], within=[self.chain.loss]).expressions
        return definitions({self.title: found[0]})

    def __str__(self) -> str:
        main, where = self.written
        lines = [wrapped(f"{self.title} = {text(self.written_sum)}", 4)]
        lines += _remarks(self.chain.sums)
        names = [f"  {d.name}" for d in main]
        width = max(map(len, names))
        for name, d, factor in zip(names, main, self.factors.values(), strict=True):
            lines.append(wrapped(f"{name:<{width}} = {text(d.math)}", width + 3))
            lines.append(f"{'':<{width}}   {factor.part}, {sizes.text(factor.jacobian.shape)}")
        lines += ["  where", *aligned(where, 4)] if where else []
        result, rest = self.result
        lines += ["multiplied out, over the whole batch", *aligned(result, 2)]
        return "\n".join([*lines, *(["  where", *aligned(rest, 4)] if rest else [])])

    def _repr_latex_(self) -> str:
        return self.latex()

    def latex(self) -> str:
        """The product with a brace and a label under each factor, then each factor written out."""
        main, where = self.written
        rows = [f"{latex(titled(self.title))} &= {latex(self._sum(True))}"]
        rows += [f"{latex(d.left)} &= {latex(d.math)}" for d in main]
        rows += [r"\text{where} &", *(f"{latex(d.left)} &= {latex(d.math)}" for d in where)] if where else []
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    @property
    def written_sum(self) -> Math:
        """The right side: Σₙ ∂L_n/∂h · ∂h/∂net · ∂net/∂W1."""
        return self._sum(False)

    def _sum(self, braced: bool) -> Math:
        """Σₙ (path + path) + path ...: what the gradient is."""
        terms: list[Math] = []
        for paths in self.chain.sums:
            found = [self._product(paths, path, braced) for path in paths.paths]
            if paths.count > len(found):
                found.append(Words(f"({paths.count - len(found)} more paths)"))
            inside = found[0] if len(found) == 1 else Infix("+", tuple(found), SUM)
            terms.append(Over("sum", (str(paths.batch).lower(),), inside) if paths.batch is not None else inside)
        return terms[0] if len(terms) == 1 else Infix("+", tuple(terms), SUM)

    def _product(self, paths: Paths, path: Sequence[Factor], braced: bool) -> Math:
        parts = [titled(title_of(paths, factor)) for factor in path]
        if braced:
            parts = [Braced(p, factor.part) for p, factor in zip(parts, path, strict=True)]
        result = parts[0]
        for part in parts[1:]:
            result = Infix("·", (result, part), PRODUCT)
        return result


def _by_name(d: Definition) -> Definition:
    return replace(d, math=Symbol(d.node.op.name)) if isinstance(d.node.op, Leaf | Named) else d


def title_of(paths: Paths, factor: Factor) -> str:
    """∂of/∂by with the names that the view shows."""
    of = paths.title if factor.of is paths.loss else _name(factor.of)
    return (
        f"∂{of}/∂{shown(_name(factor.by))}" if factor.of is paths.loss else f"∂{shown(of)}/∂{shown(_name(factor.by))}"
    )


def _name(node: Expr) -> str:
    assert isinstance(node.op, Leaf | Named)
    return node.op.name


def _remarks(sums: Sequence[Paths]) -> list[str]:
    """What the terms of the loss are called."""
    batched = [s for s in sums if s.batch is not None]
    if not batched:
        return []
    n, rest = lowered(str(batched[0].batch).lower()), [s.title for s in sums if s.batch is None]
    return [f"  L = Σ{n} {batched[0].title}{''.join(f' + {r}' for r in rest)}: the factors are those of one sample"]


def chain_rule(loss: Expr, wrt: Expr) -> ChainRule:
    """The chain rule for one parameter as lecture slides show it: ∂L/∂W₁ = Σₙ ∂L_n/∂h · ∂h/∂net · ∂net/∂W₁.

    The factors stand between nodes that have names, and are the Jacobians of one sample where the rows of a batch do
    not meet; several paths are a sum, of which 8 are written out. Raises GradientError.

    >>> from symgrad.expression.functions import mean, parameter, sigmoid, variable
    >>> x, t, w = variable("x", ("N", 2)), variable("t", ("N",)), parameter("w", (2,))
    >>> o = sigmoid((x @ w).named("net")).named("o")
    >>> print(str(chain_rule(mean((o - t) ** 2 / 2), w)).splitlines()[0])
    ∂L/∂w = Σₙ ∂L_n/∂o · ∂o/∂net · ∂net/∂w
    """
    return ChainRule(chain(loss, wrt))
