"""The derivation of a gradient as a person follows it: each rule by name, what came in, what went out, then the result.

It prints the record that the reverse sweep and the simplifier made; there is no second algorithm here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from symgrad.calculus.engine import Rewrite
from symgrad.calculus.gradient import Derivation, Step, derive
from symgrad.calculus.simplify import simplified
from symgrad.expression import sizes
from symgrad.expression.node import Expr
from symgrad.expression.ops import Leaf, Named
from symgrad.formulas import latex
from symgrad.formulas.document import Definition, aligned, definitions
from symgrad.formulas.names import text as name
from symgrad.formulas.overflow import witness
from symgrad.formulas.text import text, wrapped
from symgrad.formulas.tree import Symbol


def one_line(node: Expr) -> str:
    """A node as one formula, its names unexplained; a named node by its name."""
    if isinstance(node.op, Leaf | Named):
        return name(node.op.name)
    return text(_math(node).math)


def _short(node: Expr) -> str:
    return latex.latex(Symbol(node.op.name) if isinstance(node.op, Leaf | Named) else _math(node).math)


def _math(node: Expr, title: str = "") -> Definition:
    return definitions({title: node})[0][0]


@dataclass(frozen=True)
class Explanation:
    """A derivation ready for reading: prints as text, shows as LaTeX in a notebook, iterates over its steps."""

    derivation: Derivation
    rewrites: tuple[Rewrite, ...]
    gradients: tuple[Expr, ...]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.derivation.steps)

    def __len__(self) -> int:
        return len(self.derivation.steps)

    @property
    def titles(self) -> list[str]:
        """∂L/∂W1 for each gradient."""
        return [f"∂L/∂{name(w.label)}" for w in self.derivation.wrt]

    def __str__(self) -> str:
        record = self.derivation
        lines = ["loss", wrapped(f"  L = {one_line(record.loss)}", 6)]
        lines += section("stable forms, recognised before differentiating", [_stable(r) for r in record.rewrites])
        lines += section("chain rule, from the loss back", [_step(s) for s in record.steps])
        lines += section(
            "simplifications", [_rewrite(r) for r in self.rewrites if one_line(r.before) != one_line(r.after)]
        )
        main, where = definitions(dict(zip(self.titles, self.gradients, strict=True)))
        lines += ["", "result", *aligned(main, 2), *(["  where", *aligned(where, 4)] if where else [])]
        return "\n".join(lines)

    def _repr_latex_(self) -> str:
        return latex.document(*definitions(dict(zip(self.titles, self.gradients, strict=True))))

    def latex(self) -> str:
        """Every step as LaTeX: the rule by name, what it was applied to, what came in and what it gives."""
        rows = [r"L &= " + latex.latex(_math(self.derivation.loss).math)]
        for number, step in enumerate(self.derivation.steps, 1):
            node, argument = step.node, step.node.args[step.position]
            rows += [
                rf"\text{{{number}. {latex.escaped(step.rule)}}} &: \quad \text{{{latex.escaped(step.statement)}}}",
                rf"\text{{at}} &\quad {_short(node)} \quad \text{{by}} \quad {_short(argument)}",
                rf"\text{{incoming}} &\quad {_short(step.incoming)}",
                rf"\text{{gives}} &\quad {_short(step.result)}",
            ]
        steps = " \\\\\n".join(rows)
        return f"\\begin{{aligned}}\n{steps}\n\\end{{aligned}}\n{self._repr_latex_()}"


def section(title: str, entries: Sequence[str]) -> list[str]:
    """Numbered entries under a title; nothing when there are none."""
    if not entries:
        return []
    width = len(str(len(entries)))
    numbered = (f"{number:>{width}}. " + entry for number, entry in enumerate(entries, 1))
    pad = "\n" + " " * (width + 2)
    return ["", title, *(pad.join(entry.split("\n")) for entry in numbered)]


def _step(step: Step) -> str:
    node, argument = step.node, step.node.args[step.position]
    rows = [
        ("at", f"{one_line(node)}   by   {one_line(argument)}"),
        ("incoming", f"{one_line(step.incoming)}   {sizes.text(step.incoming.shape)}"),
        ("gives", f"{one_line(step.result)}   {sizes.text(step.result.shape)}"),
    ]
    return "\n".join(
        [f"{step.rule}: {step.statement}", *(wrapped(f"  {head:<8} {value}", 11, 94) for head, value in rows)]
    )


def _rewrite(rewrite: Rewrite) -> str:
    before, after = one_line(rewrite.before), one_line(rewrite.after)
    return f"{rewrite.identity.name}: {rewrite.identity}\n" + wrapped(f"  {before}  →  {after}", 4, 94)


def _stable(rewrite: Rewrite) -> str:
    found = witness(rewrite)
    spared = "\n" + wrapped(f"  {found.text(one_line(found.of))}", 4, 94) if found else ""
    return _rewrite(rewrite) + spared


def derivation(loss: Expr, wrt: Expr | Sequence[Expr]) -> Explanation:
    """How the gradient of a scalar comes about, step by step, each with the rule that made it.

    Raises GradientError.

    >>> from symgrad.expression.functions import parameter, sum
    >>> w = parameter("w", (3,))
    >>> [step.rule for step in derivation(sum(w * w), w)]
    ['sum', 'multiply', 'multiply']
    """
    record = derive(loss, [wrt] if isinstance(wrt, Expr) else list(wrt))
    result = simplified(record.gradients, within=[record.loss])
    return Explanation(record, result.steps, result.expressions)
