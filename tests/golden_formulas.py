"""Golden formulas for the tests of identities: what a person writes, and what it is derived and simplified to.

`formulas_of` runs the whole pipeline on one of them with the identities it is given; `EXPECTED` is what ALL give.
"""

import symgrad as sg
from symgrad.calculus import gradient
from symgrad.calculus.identities import ALL
from symgrad.calculus.simplify import simplified
from symgrad.expression.parse import parse
from symgrad.models import mnist_mlp, mnist_mlp_deep, softmax_regression

X, t, q = sg.variable("X", ("N", 3)), sg.variable("t", ("N",)), sg.variable("q", ("N",), dtype="int64")
w, u, s = sg.parameter("w", (3,)), sg.parameter("u", (3,)), sg.parameter("s")
z, k = sg.parameter("z", ("N", 4)), sg.labels("k", ("N",), classes=4)
A, x, B = sg.parameter("A", ("n", "n")), sg.parameter("x", ("n",)), sg.parameter("B", (3, 3))
IMAGE, KERNEL = sg.variable("IMAGE", ("N", 5, 6, 2)), sg.parameter("KERNEL", (3, 2, 2, 4))
LEAVES = {leaf.name: leaf for leaf in (X, t, q, w, u, s, z, k, A, x, B, IMAGE, KERNEL)}
HIDDEN = sg.parameter("V", (3, 3)), sg.parameter("c", (3,))
SCORES = (X @ w).named("a")
LOGITS = (X @ sg.parameter("W", (3, 4)) + sg.parameter("b", (4,))).named("z")


def _model(module):
    made = module.model()
    return made.loss, list(made.parameters.values())


SOFTMAX_REGRESSION = """\
∂W = xᵀ δ_z
∂b = Σₙ δ_z
where
  δ_z = (softmax(z) − onehot(y)) / N
  z   = x W + b
  x   = pixels / 255"""

MLP = """\
∂W1 = xᵀ δ_net
∂b1 = Σₙ δ_net
∂W2 = hᵀ δ_z
∂b2 = Σₙ δ_z
where
  δ_net = (δ_z W₂ᵀ) ⊙ [net > 0]
  δ_z   = (softmax(z) − onehot(y)) / N
  z     = h W₂ + b₂
  h     = relu(net)
  net   = x W₁ + b₁
  x     = pixels / 255"""

DEEP = """\
∂W1 = xᵀ δ_net₁
∂b1 = Σₙ δ_net₁
∂W2 = h₁ᵀ δ_net₂
∂b2 = Σₙ δ_net₂
∂W3 = h₂ᵀ δ_net₃
∂b3 = Σₙ δ_net₃
∂W4 = h₃ᵀ δ_z
∂b4 = Σₙ δ_z
where
  δ_net₁ = (δ_net₂ W₂ᵀ) ⊙ (1 − h₁²)
  δ_net₂ = (δ_net₃ W₃ᵀ) ⊙ (1 − h₂²)
  δ_net₃ = (δ_z W₄ᵀ) ⊙ (1 − h₃²)
  δ_z    = (softmax(z) − onehot(y)) / N
  z      = h₃ W₄ + b₄
  h₃     = tanh(net₃)
  net₃   = h₂ W₃ + b₃
  h₂     = tanh(net₂)
  net₂   = h₁ W₂ + b₂
  h₁     = tanh(net₁)
  net₁   = x W₁ + b₁
  x      = pixels / 255"""

LOGISTIC = """\
∂w = Xᵀ δ_a
where
  δ_a = (σ(a) − t) / N
  a   = X w"""
LOGISTIC_INTEGER = LOGISTIC.replace("− t", "− q")
CROSS_ENTROPY = "∂z = (softmax(z) − onehot(k)) / N"

# (loss, leaves to differentiate by, formula)
BUILT = {
    "softmax-regression": (*_model(softmax_regression), SOFTMAX_REGRESSION),
    "mnist-mlp": (*_model(mnist_mlp), MLP),
    "mnist-mlp-deep": (*_model(mnist_mlp_deep), DEEP),
    "logistic, logits": (sg.binary_cross_entropy(SCORES, t, from_logits=True), [w], LOGISTIC),
    "logistic, probabilities": (sg.binary_cross_entropy(sg.sigmoid(SCORES), t), [w], LOGISTIC),
    "logistic, logits, integers": (sg.binary_cross_entropy(SCORES, q, from_logits=True), [w], LOGISTIC_INTEGER),
    "logistic, probabilities, integers": (sg.binary_cross_entropy(sg.sigmoid(SCORES), q), [w], LOGISTIC_INTEGER),
    "cross-entropy, logits": (sg.softmax_cross_entropy(z, k), [z], CROSS_ENTROPY),
    "cross-entropy, softmax": (sg.cross_entropy(sg.softmax(z), k), [z], CROSS_ENTROPY),
    "cross-entropy, exp over its sum": (
        sg.cross_entropy(sg.exp(z) / sg.sum(sg.exp(z), axis=1, keepdims=True), k), [z], CROSS_ENTROPY),
    "cross-entropy by an inner node": (
        sg.cross_entropy(sg.softmax(LOGITS), k), [LOGITS], CROSS_ENTROPY + "\nwhere\n  z = X W + b"),
    "product shared by weight and bias": (
        sg.sum((sg.tanh(X @ HIDDEN[0] + HIDDEN[1]).named("h") @ w - t) ** 2), list(HIDDEN),
        "∂V = Xᵀ t₁\n∂c = Σₙ t₁\nwhere\n  t₁  = δ_h ⊙ (1 − h²)\n  δ_h = 2 (h w − t) wᵀ\n  h   = tanh(X V + c)"),
    "sum of a named product": (sg.sum(SCORES), [w], "∂w = Σₙ X"),
}  # fmt: skip

# (leaves to differentiate by or none, text, formula of the gradient or of the expression itself)
TEXTS = [
    ("w", "mean(log(1 + exp(-t*(X @ w))))", "∂w = −Xᵀ (t ⊙ σ(−t ⊙ (X w))) / N"),
    ("w", "sum((X @ w - t)**2) + s*sum(w**2)", "∂w = 2 (Xᵀ (X w − t) + s w)"),
    ("x", "x @ A @ x", "∂x = (A + Aᵀ) x"),
    ("A", "sum(A*A)", "∂A = 2 A"),
    ("w", "w @ (identity(3) @ u)", "∂w = u"),
    ("", "identity(3) @ w + w", "2 w"),
    ("w", "sum(where(w > 0, 3*w, 0))", "∂w = 3 [w > 0]"),
    ("w", "sum(reshape(reshape(w, (3, 1)), (1, 3))*u)", "∂w = reshape(u, (3,))"),
    ("w", "sum(log(exp(w) + exp(u)))", "∂w = σ(w − u)"),
    ("w", "sum((exp(w) - exp(-w))/(exp(w) + exp(-w)))", "∂w = 1 − tanh(w)²"),
    ("w", "sum(1/(1 + exp(-w)))", "∂w = σ(w) ⊙ σ(−w)"),
    ("w", "sum(exp(w)/(1 + exp(w)))", "∂w = σ(w) ⊙ σ(−w)"),
    ("w", "sum(log(1 - exp(-w)))", "∂w = 1 / expm1(w)"),
    ("w", "sum(log(-expm1(-w)))", "∂w = 1 / expm1(w)"),
    ("w", "sum(u*(exp(w) - 1))", "∂w = u ⊙ exp(w)"),
    ("w", "sum(log(sqrt(w)))", "∂w = 1 / (2 w)"),
    ("w", "sum(exp(log(w)))", "∂w = [1]ᵢ"),
    ("w", "sum(log(exp(w)))", "∂w = [1]ᵢ"),
    ("w", "sum(exp(log(1 + w)))", "∂w = [1]ᵢ"),
    ("z", "sum(t*log(sum(exp(z), axis=1)))", "∂z = t ⊙ softmax(z)"),
    ("z", "sum(softmax(z - max(z, axis=1, keepdims=True))**2)", "∂z = 2 softmax(z) ⊙ (softmax(z) − Σᵢ softmax(z)²)"),
    ("z", "mean(max(z, axis=1, keepdims=True) + log(sum(exp(z - max(z, axis=1, "
     "keepdims=True)), axis=1, keepdims=True)))", "∂z = softmax(z) / N"),
    ("", "max(z, axis=1, keepdims=True) + log(sum(exp(z - max(z, axis=1, keepdims=True)), axis=1, keepdims=True))",
     "logsumexp(z)"),
    ("", "exp(z - max(z, axis=1, keepdims=True))/sum(exp(z - max(z, axis=1, keepdims=True)), axis=1, keepdims=True)",
     "softmax(z)"),
    ("", "4*mean(z)", "Σ z / N"),
    ("", "sum(A*A.T)", "Σₙᵢ A[n,i] A[i,n]"),
    ("", "sum(w*u)", "wᵀ u"),
    ("", "where(w > 0, 3*w, 0)", "3 (w ⊙ [w > 0])"),
    ("", "sigmoid(log(w/(1 - w)))", "w"),
    ("", "exp(w) - 1", "expm1(w)"),
    ("", "log(exp(w))", "w"),
    ("", "exp(log(w))", "w"),
    ("", "exp(z - logsumexp(z, axis=1, keepdims=True))", "softmax(z)"),
    ("", "exp(z)/sum(exp(z), axis=1, keepdims=True)", "softmax(z)"),
    ("", "log(1 + exp(w))", "softplus(w)"),
    ("", "log(softmax(z))", "z − logsumexp(z)"),
    ("", "log(softmax(z).T)", "(z − logsumexp(z))ᵀ"),
    ("", "log(sigmoid(w))", "−softplus(−w)"),
    ("", "log(1 - sigmoid(w))", "−softplus(w)"),
    ("", "1 - sigmoid(w)", "σ(−w)"),
    ("", "exp(w)*sigmoid(-w)", "σ(w)"),
    ("", "log(1 + w)", "log1p(w)"),
    ("", "log(1 - w)", "log1p(−w)"),
    ("", "w**(3 - 1)", "w²"),
    ("", "(A @ A.T @ A).T", "Aᵀ A Aᵀ"),
    ("", "sum(sum(A, axis=1))", "Σ A"),
    ("w", "-(u - w) @ B @ (u - w)/2", "∂w = (B + Bᵀ) (u − w) / 2"),
    ("B", "-(u - w) @ B @ (u - w)/2", "∂B = −(u − w) (u − w)ᵀ / 2"),
    ("w", "u @ w/(sqrt(u @ u)*sqrt(w @ w))", "∂w = (u − uᵀ w w / (wᵀ w)) / (√(uᵀ u) √(wᵀ w))"),
    ("w", "sqrt(w @ w)", "∂w = w / √(wᵀ w)"),
    ("w", "sum(where(abs(t - X @ w) < 1, (t - X @ w)**2/2, abs(t - X @ w) - 0.5))",
     "∂w = −Xᵀ where(|t₁| < 1, t₁, sign(t₁))\nwhere\n  t₁ = t − X w"),
    ("", "sinh(w)/cosh(w)", "tanh(w)"),
    ("w", "mean(log(cosh(X @ w - t)))", "∂w = Xᵀ tanh(X w − t) / N"),
    ("", "1 - erf(w)", "erfc(w)"),
    ("w", "sum(w*log(w/u))", "∂w = 1 + log(w / u)"),
    ("u", "sum(w*log(w/u))", "∂u = −w / u"),
    ("x", "x @ A @ x/(x @ x)", "∂x = ((A + Aᵀ) x − 2 xᵀ A x x / (xᵀ x)) / (xᵀ x)"),
    ("s", "sum(exp(-sum((X - w)**2, axis=1)/(2*s**2)))",
     "∂s = exp(−t₁ / (2 s²))ᵀ t₁ / s³\nwhere\n  t₁ = Σᵢ (X − w)²"),
    ("", "log1p(-exp(-w))", "log1mexp(w)"),
    ("w", "-mean(t*log(sigmoid(X @ w)) + (1 - t)*log(1 - sigmoid(X @ w)))", "∂w = Xᵀ (σ(X w) − t) / N"),
    ("", "log(cosh(w))", "w + softplus(−2 w) − log(2)"),
    ("", "(w*u/u + s)/u", "(w + s) / u"),
    ("", "log((1 + erf(w))/2)", "logerfc(−w) − log(2)"),
    ("", "w[::-1][::-1]", "w"),
    ("", "concatenate((w, u))[3:]", "u"),
    ("", "pad(w, (1, 2))[1:4]", "w"),
    ("", "broadcast_to(w, (5, 3))[1:4]*B", "w ⊙ B"),
    ("", "w[1:][1:]", "w[2:]"),
    ("w", "sum(w[:1]**2) + sum(u[:2]*w[1:])", "∂w = concatenate(2 w[:1], u[:2])"),
    ("IMAGE", "sum(conv2d(IMAGE, KERNEL)**2)",
     "∂IMAGE = 2 [Σₗₘₒ (Σₚᵣₛ IMAGE[n,i + l − 2 + p,j + m − 1 + r,s] KERNEL[p,r,s,o]) [1 ≤ j\n"
     "         + m ≤ 5] [2 ≤ i + l ≤ 4] KERNEL[2 − l,1 − m,k,o]]ₙᵢⱼₖ"),
    ("KERNEL", "sum(IMAGE[:, :3, :2, 0]*conv2d(IMAGE, KERNEL)[:, :, :2, 0])",
     "∂KERNEL = [Σₙₘₒ IMAGE[n,m + i,o + j,k] IMAGE[n,m,o,l] [l = 0] [0 ≤ o ≤ 1]]ᵢⱼₖₗ"),
    ("IMAGE", "sum(max_pool2d(IMAGE, 2, 2)[:, :, :, 0])",
     "∂IMAGE = [(1 [k = 0]\n"
     "         / Σₗₘ [t₁[n,⌊i / 2⌋,l,⌊j / 2⌋,m,k]]) [t₁[n,⌊i / 2⌋,mod(i, 2),⌊j\n"
     "         / 2⌋,mod(j, 2),k]] [i < 4]]ₙᵢⱼₖ\n"
     "where\n"
     "  t₁ = ([IMAGE[n,2 i + j,2 k + l,m]]ₙᵢⱼₖₗₘ = [maxₗₘ IMAGE[n,2 i + l,2 j + m,k]]ₙᵢⱼₖ)"),
    ("", "pad(windows(B, 1, 2), ((1, 0), (0, 0), (0, 0)))", "[B[i − 1,j + k] [1 ≤ i ≤ 3]]ᵢⱼₖ"),
    ("", "w + u**(2 - 2)", "w + 1"),
    ("", "w + tanh(0*u)", "w"),
    ("", "u*exp(w)/(1 + exp(w))*exp(w)/(1 + exp(w))", "u ⊙ σ(w)²"),
    ("w", "sum((w**2 + 1)**1.5)", "∂w = 3 w ⊙ (w² + 1)^0.5"),
    ("", "(w**2 + 1)**0.5*(w**2 + 1)**-1.5", "1 / (w² + 1)"),
    ("", "tanh(w + u)*tanh(u + w)", "tanh(w + u)²"),
    ("w", "sum(solve(B, w)**2)", "∂w = 2 (Bᵀ)⁻¹ B⁻¹ w"),
    ("B", "logdet(B)", "∂B = (B⁻¹)ᵀ"),
    ("B", "sum(tril(B)**2)/2", "∂B = [B[i,j] [i ≥ j]]ᵢⱼ"),
    ("w s", "sum(log(sqrt(s/(2*3.141592653589793))*exp(-s*(w - u)**2/2)))",
     "∂w = s (u − w)\n∂s = 3 / (2 s) − Σᵢ (w − u)² / 2"),
]  # fmt: skip

GOLDEN = BUILT | {
    f"{wrt}: {text}": (parse(text, LEAVES), [LEAVES[name] for name in wrt.split()], expected)
    for wrt, text, expected in TEXTS
}
EXPECTED = {key: expected for key, (_, _, expected) in GOLDEN.items()}


def results(key, identities=ALL):
    """A golden expression or its gradients, with these identities and no other in the derivation and after it."""
    written, wrt, _ = GOLDEN[key]
    if not wrt:
        return simplified([written], identities=identities).expressions
    stable, gradient.STABLE = gradient.STABLE, tuple(i for i in gradient.STABLE if i in identities)
    try:
        record = gradient.derive(written, wrt)
    finally:
        gradient.STABLE = stable
    return simplified(record.gradients, within=[record.loss], identities=identities).expressions


def formulas_of(key, identities=ALL):
    """The text of a golden formula."""
    _, wrt, _ = GOLDEN[key]
    found = results(key, identities)
    return sg.formula(found, names=[f"∂{leaf.name}" for leaf in wrt]) if wrt else sg.formula(found[0])
