"""Golden formulas for the tests of identities: what a person writes, and what it is derived and simplified to.

`WRITTEN` holds expressions, each with the leaves to differentiate by (none: the expression itself is simplified);
`texts` runs the whole pipeline on all of them with the identities it is given.
"""

import symgrad as sg
from symgrad.calculus import gradient
from symgrad.calculus.identities import ALL
from symgrad.calculus.simplify import simplified
from symgrad.expression.parse import parse
from symgrad.models import mnist_mlp, mnist_mlp_deep, softmax_regression

X, t, q = sg.variable("X", ("N", 3)), sg.variable("t", ("N",)), sg.variable("q", ("N",), dtype="int64")
w, u, s = sg.parameter("w", (3,)), sg.parameter("u", (3,)), sg.parameter("s")
z, k, r = sg.parameter("z", ("N", 4)), sg.labels("k", ("N",), classes=4), sg.parameter("r", ("N", 3))
A, x = sg.parameter("A", ("n", "n")), sg.parameter("x", ("n",))
LEAVES = {e.name: e for e in (X, t, q, w, u, s, z, k, r, A, x)}
SCORES = (X @ w).named("a")
LOGITS = (X @ sg.parameter("W", (3, 4)) + sg.parameter("b", (4,))).named("z")


def model(module):
    made = module.model()
    return made.loss, list(made.parameters.values())


WRITTEN = {
    "softmax-regression": model(softmax_regression),
    "mnist-mlp": model(mnist_mlp),
    "mnist-mlp-deep": model(mnist_mlp_deep),
    "logistic, from logits": (sg.binary_cross_entropy(SCORES, t, from_logits=True), [w]),
    "logistic, from probabilities": (sg.binary_cross_entropy(sg.sigmoid(SCORES), t), [w]),
    "logistic, integer targets": (sg.binary_cross_entropy(sg.sigmoid(SCORES), q), [w]),
    "logistic, integer targets, from logits": (sg.binary_cross_entropy(SCORES, q, from_logits=True), [w]),
    "cross-entropy of a softmax": (sg.cross_entropy(sg.softmax(z), k), [z]),
    "cross-entropy of probabilities written out": (
        sg.cross_entropy(sg.exp(z) / sg.sum(sg.exp(z), axis=1, keepdims=True), k), [z]),
    "cross-entropy of a layer": (sg.cross_entropy(sg.softmax(LOGITS), k), [LOGITS]),
} | {
    f"{wrt}: {text}" if wrt else text: (parse(text, LEAVES), [LEAVES[name] for name in wrt.split()])
    for wrt, text in [
        ("w", "mean(log(1 + exp(-t*(X @ w))))"),
        ("w", "sum((X @ w - t)**2) + s*sum(w**2)"),
        ("x", "x @ A @ x"),
        ("A", "sum(A*A)"),
        ("A", "sum(identity(3) @ X.T @ X @ r.T)") if 0 else ("w", "w @ (identity(3) @ u)"),
        ("w", "sum(where(w > 0, 3*w, 0))"),
        ("w", "sum(reshape(reshape(w, (3, 1)), (1, 3))*u)"),
        ("w", "sum(log(exp(w) + exp(u)))"),
        ("w", "sum((exp(w) - exp(-w))/(exp(w) + exp(-w)))"),
        ("w", "sum(1/(1 + exp(-w)))"),
        ("w", "sum(exp(w)/(1 + exp(w)))"),
        ("w", "sum(log(1 - exp(-w)))"),
        ("w", "sum(log(-expm1(-w)))"),
        ("w", "sum(u*(exp(w) - 1))"),
        ("w", "sum(log(sqrt(w)))"),
        ("w", "sum(exp(u*log(w)))"),
        ("w", "sum(exp(log(w)))"),
        ("w", "sum(log(exp(w)))"),
        ("w", "sum(exp(log(1 + w)))"),
        ("z", "sum(t*log(sum(exp(z), axis=1)))"),
        ("z", "sum(exp(z - max(z, axis=1, keepdims=True))/sum(exp(z - max(z, axis=1, keepdims=True)), axis=1))") if 0 else ("z", "sum(softmax(z - max(z, axis=1, keepdims=True))**2)"),
        ("z", "sum(logsumexp(z - max(z, axis=1, keepdims=True), axis=1, keepdims=True))"),
        ("", "exp(z - logsumexp(z, axis=1, keepdims=True))"),
        ("", "exp(z)/sum(exp(z), axis=1, keepdims=True)"),
        ("", "log(1 + exp(w))"),
        ("", "log(softmax(z))"),
        ("", "log(softmax(z).T)"),
        ("", "log(sigmoid(w))"),
        ("", "log(1 - sigmoid(w))"),
        ("", "1 - sigmoid(w)"),
        ("", "exp(w)*sigmoid(-w)"),
        ("", "log(1 + w)"),
        ("", "log(1 - w)"),
        ("", "mean(z)"),
        ("", "w**(3 - 1)"),
        ("", "(A @ A.T @ A).T"),
        ("", "sum(sum(A, axis=1))"),
    ]
}  # fmt: skip


def texts(identities=ALL, keys=None):
    """Every golden formula as text, with these identities and no other in the derivation and after it."""
    found = {}
    stable, gradient.STABLE = gradient.STABLE, tuple(i for i in gradient.STABLE if i in identities)
    try:
        for key, (written, wrt) in WRITTEN.items():
            if wrt:
                record = gradient.derive(written, wrt)
                result = simplified(record.gradients, within=[record.recognised], identities=identities)
                found[key] = sg.formula(result.expressions, names=[f"∂{e.name}" for e in wrt])
            else:
                found[key] = sg.formula(simplified([written], identities=identities).expressions[0])
    finally:
        gradient.STABLE = stable
    return found
