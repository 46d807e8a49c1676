"""The command that shows how gradients come about: step by step, as a product of factors, or with numbers."""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.cli import find
from symgrad.cli.formulas import chosen
from symgrad.cli.inspect import show_json
from symgrad.errors import ConfigurationError
from symgrad.expression.node import Expr
from symgrad.formulas.chain import chain_rule, title_of
from symgrad.formulas.derivation import Explanation, derivation, one_line
from symgrad.formulas.overflow import witness
from symgrad.proof.paths import multiplied
from symgrad.training.blackboard import blackboard
from symgrad.training.model import Model


def derive_command(
    name: str, parameters: Sequence[str], wrt: Sequence[str], chain: bool, values: bool, format: str, as_json: bool
) -> None:
    """The derivation of some gradients, or of all; the chain-rule view of each; or that with numbers."""
    if format not in ("text", "latex"):
        raise ConfigurationError(f"a derivation comes as text or latex, not {format!r}")
    if values and (as_json or format == "latex"):
        raise ConfigurationError("--values is a text for reading; leave out --json and --format")
    model = find.find_model(name, parameters)
    picked = chosen(model, wrt)
    if values:
        print(blackboard(model, picked))
    elif chain:
        _chain(model, picked, format, as_json)
    else:
        found = derivation(model.training_loss, picked)
        if as_json:
            _steps_as_json(model, found)
        else:
            print(found if format == "text" else found.latex())


def _chain(model: Model, wrt: Sequence[Expr], format: str, as_json: bool) -> None:
    rules = [chain_rule(model.training_loss, w) for w in wrt]
    proofs = [multiplied(rule.chain) for rule in rules]
    if not as_json:
        shown = [
            f"{rule}\n{proof}" if format == "text" else rule.latex() for rule, proof in zip(rules, proofs, strict=True)
        ]
        print("\n\n".join(shown))
        return
    rows = {
        rule.title: [
            {
                "summed over": s.batch,
                "paths": s.count,
                "factors": [[title_of(s, f) for f in path] for path in s.paths],
            }
            for s in rule.chain.sums
        ]
        for rule in rules
    }
    factors = {
        title: {"formula": one_line(f.jacobian), "part": f.part, "shape": [str(s) for s in f.jacobian.shape]}
        for rule in rules
        for title, f in rule.factors.items()
    }
    checked = {rule.title: proof.error for rule, proof in zip(rules, proofs, strict=True)}
    show_json({"model": model.name, "chain": rows, "factors": factors, "checked": checked})


def _steps_as_json(model: Model, found: Explanation) -> None:
    steps = [
        {
            "rule": s.rule,
            "statement": s.statement,
            "at": one_line(s.node),
            "incoming": one_line(s.incoming),
            "result": one_line(s.result),
        }
        for s in found
    ]
    stable = [
        {
            "identity": r.identity.name,
            "statement": str(r.identity),
            "before": one_line(r.before),
            "after": one_line(r.after),
            "spares": w.text(one_line(w.of)) if (w := witness(r)) else None,
        }
        for r in found.derivation.rewrites
    ]
    rewrites = [
        {
            "identity": r.identity.name,
            "statement": str(r.identity),
            "before": one_line(r.before),
            "after": one_line(r.after),
        }
        for r in found.rewrites
    ]
    results = {t: one_line(g) for t, g in zip(found.titles, found.gradients, strict=True)}
    show_json(
        {"model": model.name, "stable forms": stable, "steps": steps, "simplifications": rewrites, "gradients": results}
    )
