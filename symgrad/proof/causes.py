"""What people get wrong in a derivation by hand: a table of causes, each with the repairs that would undo it.

Order is likelihood: the first repair that makes a formula right names the cause. Computes no values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from symgrad.proof import omissions, slips
from symgrad.proof.drafts import Place
from symgrad.proof.repairs import Known, Repair

ALWAYS = "always"
FITTING = "fitting"  # as the first of two only when it puts shapes right, as the second after all others
NEVER = "never"


@dataclass(frozen=True)
class Cause:
    """A kind of fault and the repairs of one place that would undo it; `pairs` says when it is tried with others."""

    name: str
    about: str
    repairs: Callable[[Place, Known], Iterator[Repair]]
    pairs: str = ALWAYS


CAUSES = (
    Cause("sign", "y - p instead of p - y, + instead of -, a minus too many", slips.signs),
    Cause("too many", "a factor or a term that does not belong there", omissions.too_many),
    Cause("operator", "* N instead of / N, * instead of @", slips.operators),
    Cause("factor", "a constant such as 1/N, 2 or -1 is missing, in the whole or in a term", omissions.factors),
    Cause("factors", "constants are missing in several terms", omissions.factors_of_terms, NEVER),
    Cause("sum", "a sum over the batch is missing, one too many, along another axis, or a mean", omissions.sums),
    Cause("transpose", "x instead of x.T, or x.T instead of x", slips.transposes),
    Cause("order", "the operands of a product are exchanged", slips.orders),
    Cause("condition", "net >= 0 instead of net > 0, or the opposite", slips.conditions),
    Cause("activation", "the derivative of an activation is missing", omissions.derivatives),
    Cause("other activation", "the derivative of another activation", slips.other_derivatives),
    Cause("variable", "W1 instead of W2, h instead of net", slips.variables),
    Cause("transpose of a part", "a b instead of (a b).T", slips.transposes_of_parts),
    Cause("power", "h instead of h**2", slips.powers),
    Cause("function", "z instead of softmax(z), tanh instead of sigmoid", slips.functions),
    Cause("parentheses", "a product that binds another part", slips.parentheses),
    Cause("adjoint", "delta_h instead of delta_net", slips.adjoints, FITTING),
    Cause("product", "a factor that is a tensor is missing", omissions.missing_products, FITTING),
    Cause("term", "a term of a sum is missing", omissions.missing_terms, FITTING),
    Cause("factor inside", "exp(-x) instead of exp(-2 x)", omissions.factors_inside, FITTING),
    Cause("superfluous product", "a factor of a matrix product is too many", omissions.too_many_products, NEVER),
)
