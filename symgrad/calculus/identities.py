"""The identities by name: left side, right side, guard, and examples on which they fire. Two tables of data.

STABLE recognises numerically stable forms, also inside what a person wrote naively; the sweep applies it before
differentiating. ALL adds what brings formulas to textbook form.
"""

from __future__ import annotations

from symgrad.calculus import factoring, logarithms, tensors
from symgrad.calculus.arithmetic import normal_form
from symgrad.calculus.engine import Identity
from symgrad.calculus.patterns import identity
from symgrad.expression.ops import Contraction, Elementwise, Extent, LogSumExp, Named, Reshape, Softmax

NORMAL_FORM = Identity("normal form", "a c + b c, -(-a), a + a, 1 a, ...", "(a + b) c, a, 2 a, a, ...", "",
                       (Elementwise,), normal_form,
                       ("a + a - 3*a*b + b*a", "(a - b)/c - (a + b)/c"))  # fmt: skip

STABLE: tuple[Identity, ...] = (
    identity("log(softmax(a)) = a - logsumexp(a)", "log-softmax", "", False, "log(softmax(m))"),
    identity("exp(a - logsumexp(a)) = softmax(a)", "softmax from log-softmax", "", True,
             "exp(m - logsumexp(m, keepdims=True))"),
    identity("exp(a) / sum(exp(a)) = softmax(a)", "softmax", "", True, "exp(m)/sum(exp(m), axis=1, keepdims=True)",
             "exp(v)/sum(exp(v))"),
    identity("log(sum(exp(a))) = logsumexp(a)", "logsumexp", "", False, "log(sum(exp(m), axis=1))",
             "log(sum(exp(m)))"),
    identity("log(exp(a) + exp(b)) = logaddexp(a, b)", "logaddexp", "", False, "log(exp(a) + exp(b))"),
    identity("1 / (1 + exp(-a)) = sigmoid(a)", "sigmoid", "", False, "1/(1 + exp(-a))", "b/(1 + exp(-a))"),
    identity("(exp(a) - exp(-a)) / (exp(a) + exp(-a)) = tanh(a)", "tanh", "", False,
             "(exp(a) - exp(-a))/(exp(a) + exp(-a))"),
    identity("sinh(a) / cosh(a) = tanh(a)", "tanh from sinh", "", False, "sinh(a)/cosh(a)"),
    identity("log(cosh(a)) = a + softplus(-2 * a) - 0.6931471805599453", "log-cosh", "", False, "log(cosh(a))"),
    identity("1 - 2 * sigmoid(-(2 * a)) = tanh(a)", "tanh from sigmoid", "", False, "1 - 2*sigmoid(-2*a)"),
    identity("exp(a) * sigmoid(-a) = sigmoid(a)", "sigmoid reflected", "", False, "exp(a)*sigmoid(-a)",
             "exp(a)/(1 + exp(a))"),
    identity("1 - sigmoid(a) = sigmoid(-a)", "complement of sigmoid", "", False, "1 - sigmoid(a)"),
    identity("log(sigmoid(a)) = -softplus(-a)", "log-sigmoid", "", False, "log(sigmoid(a))"),
    identity("log(1 + a) = log1p(a)", "log1p", "", False, "log(1 + a**2)", "log(1 - a/9)"),
    identity("log1p(exp(a)) = softplus(a)", "softplus", "", False, "log1p(exp(a))"),
    identity("log1p(-exp(a)) = log1mexp(-a)", "log1mexp", "a < 0", False, "log1p(-exp(-a**2 - 1))"),
    identity("log(-expm1(a)) = log1mexp(-a)", "log1mexp of expm1", "a < 0", False, "log(-expm1(-a**2 - 1))"),
    identity("exp(a) - 1 = expm1(a)", "expm1", "", False, "exp(a) - 1", "1 - exp(a)"),
    identity("log(exp(a)) = a", "log of exp", "", False, "log(exp(a))"),
    identity("1 - erf(a) = erfc(a)", "erfc", "", False, "1 - erf(a)", "b/2*(1 - erf(a))"),
    identity("1 + erf(a) = erfc(-a)", "erfc reflected", "", False, "1 + erf(a)"),
    identity("log(erfc(a)) = logerfc(a)", "log-erfc", "", False, "log(1 - erf(a))", "log((1 + erf(a))/2)"),
    Identity("log of a product", "log(a b / c)", "log(a) + log(b) - log(c)", "a, b, c ≥ 0", (Elementwise,),
             logarithms.log_of_product, ("log(exp(a)*exp(b))", "log(exp(a)/(1 + b**2))", "log(3*sigmoid(a)**2)",
              "log(sqrt(a)*exp(b)/3)")),
    identity("exp(log(a)) = a", "exp of log", "a > 0", False, "exp(log(a**2 + 2))"),
    identity("exp(log1p(a)) = 1 + a", "exp of log1p", "a > -1", False, "exp(log(1 + a**2))"),
    identity("sigmoid(log(a / (1 - a))) = a", "sigmoid of logit", "0 < a < 1", False,
             "sigmoid(log(tanh(a)/(1 - tanh(a))))"),
    identity("log(sqrt(a)) = log(a) / 2", "log of sqrt", "", False, "log(sqrt(a**2 + 1))"),
    identity("a * softplus(-b) + (1 - a) * softplus(b) = softplus(b) - a * b", "binary cross-entropy", "", False,
             "a*softplus(-b) + (1 - a)*softplus(b)", "-(a*softplus(-b)) - (1 - a)*softplus(b)"),
    Identity("log of a moved softmax", "log(softmax(a)ᵀ)", "log(softmax(a))ᵀ", "also a reshape or an index",
             (Elementwise,), tensors.log_of_moved_softmax,
             ("log(softmax(m).T)", "log(take(softmax(m), y))", "log(reshape(softmax(m), (2, 6)))")),
    Identity("shift of softmax", "softmax(a - c)", "softmax(a)", "c is constant along the axes", (Softmax,),
             tensors.shift_of_softmax,
             ("softmax(m - max(m, axis=1, keepdims=True))",)),
    Identity("shift of logsumexp", "logsumexp(a - c)", "logsumexp(a) - c", "c is constant along the axes",
             (LogSumExp,),
             tensors.shift_of_logsumexp, ("logsumexp(m - max(m, axis=1, keepdims=True), keepdims=True)",)),
)  # fmt: skip

TEXTBOOK: tuple[Identity, ...] = (
    Identity("trivial contraction", "sum_{} a", "a", "nothing is summed or moved", (Contraction,),
             tensors.nothing_to_do, ("einsum('ij->ij', m)",)),
    Identity("merged contraction", "sum_i (sum_j a)", "sum_ij a", "the inner one has one operand", (Contraction,),
             tensors.merged,
             ("sum(sum(m, axis=1))", "m.T @ m", "m.T.T")),
    Identity("transposed product", "(A B)ᵀ", "Bᵀ Aᵀ", "", (Contraction,), tensors.reordered,
             ("(m @ m.T @ m).T", "einsum('ijk->kij', einsum('ij,ik->ijk', m, m))")),
    Identity("scalars outside a sum", "sum(s a b)", "s sum(a b)", "s is a scalar", (Contraction,),
             tensors.scalars_outside,
             ("sum(3*m)", "(m/2) @ m.T")),
    Identity("distributions sum to one", "sum_k onehot(y)[n,k]", "1", "k stands nowhere else", (Contraction,),
             tensors.total_of_distribution,
             ("sum(softmax(m), axis=1)", "sum(one_hot(y, 3), axis=1, keepdims=True)")),
    Identity("common operand", "sum(a q) + sum(b q)", "sum((a + b) q)", "q stands at the same indices",
             (Elementwise,),
             factoring.common_operand, ("w @ m + 2*((w*w) @ m)", "(m @ m.T) @ w + w @ (m @ m.T)")),
    Identity("opposite operands", "(b - a) (a - b)ᵀ", "-(a - b) (a - b)ᵀ", "", (Contraction,),
             factoring.opposite_operands, ("(m - 1) @ (1 - m).T",)),
    Identity("cancelled below", "(a b/b + c) / b", "(a + c) / b", "", (Elementwise,), factoring.cancelled_below,
             ("(a*(a - 1)/(a - 1) + b)/(a - 1)",)),
    Identity("square of a root", "√a²", "a", "a ≥ 0", (Elementwise,), factoring.square_of_root,
             ("a*sqrt(b**2 + 1)**3",)),
    Identity("selections joined", "where(c, a, 0) + where(c, 0, b)", "where(c, a, b)", "", (Elementwise,),
             factoring.selections_joined, ("where(a > 0, a, 0) + b*where(a > 0, 0, 1)",)),
    Identity("integer arithmetic", "2 - 1", "1", "integer constants", (Elementwise,), factoring.integers_folded,
             ("a**(3 - 1)",)),
    Identity("size of a product", "|4 N|", "4 |N|", "", (Extent,), factoring.size_of_product, ("mean(x)",)),
    Identity("delta", "sum_j delta[i,j] a[j]", "a[i]", "", (Contraction,), tensors.delta_contracted,
             ("identity(4) @ m",)),
    Identity("sum of a product", "sum(a * b)", "a . b", "equal shapes", (Contraction,), tensors.product_of_two,
             ("sum(a*b)",)),
    Identity("implicit broadcasting", "f(repeat(a), b)", "f(a, b)", "", (Elementwise,),
             tensors.broadcasting_is_implicit,
             ("sum(one_hot(y, 3), axis=1) * v",)),
    Identity("scalars outside a selection", "where(c, s a, 0)", "s where(c, a, 0)", "s is a scalar", (Elementwise,),
             tensors.scalars_leave_selection, ("where(m > 0, 3*m, 0)",)),
    Identity("reshapes compose", "reshape(reshape(a))", "reshape(a)", "", (Reshape,), tensors.reshapes_compose,
             ("reshape(reshape(m, (3, 4)), (2, 6))",)),
    Identity("plain adjoint", "name(a)", "a", "a is a number or a name", (Named,), tensors.plain_adjoint, ()),
)  # fmt: skip

ALL: tuple[Identity, ...] = (*TEXTBOOK, NORMAL_FORM, *STABLE)
