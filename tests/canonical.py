"""What an expression is apart from the order in which sums and products are written: equal ones have equal keys.

Independent of the order that `simplify` leaves: terms and factors are sets, numbers are compared to nine digits (a
product of numbers is rounded in the order in which it is taken), the operands of a contraction may change places.
"""

from collections import Counter
from fractions import Fraction
from itertools import permutations

from symgrad.calculus.arithmetic import ARITHMETIC, Term, collect, product_of, sum_of
from symgrad.calculus.operands import COMMUTATIVE
from symgrad.expression import ops
from symgrad.expression.node import topological


class Keys:
    """Keys of expressions; two expressions asked of the same object can be compared."""

    def __init__(self):
        self.numbers = {}  # of a key, in the order of appearance
        self.known = {}  # of a node
        self.unsigned = {}  # of a sum: 1 or -1, and the number that it has together with its opposite

    def of(self, expression):
        for node in topological([expression], stop=self.known.__contains__):
            if node not in self.known:
                self.known[node] = self.number(self.key(node))
        return self.known[expression]

    def number(self, key):
        return self.numbers.setdefault(key, len(self.numbers))

    def key(self, node):
        op = node.op
        if isinstance(op, ops.Contraction):
            orders = permutations(range(len(node.args)))
            return ("contraction", str(node.shape), min(self.contraction(node, order) for order in orders))
        if isinstance(op, ops.Elementwise) and op.function in ARITHMETIC and node.kind == "real":
            terms = collect(sum_of(node))
            if not (len(terms) == 1 and node in terms[0].top):
                return self.sum(node, [self.factors([(term, lambda base: None)]) for term in terms])
        if isinstance(op, ops.Elementwise) and op.function in ("add", "multiply"):
            return (op, node.shape, tuple(sorted(self.of(a) for a in flattened(node, op))))
        if isinstance(op, ops.Elementwise) and op.function in COMMUTATIVE:
            return (op, node.shape, tuple(sorted(map(self.of, node.args))))
        if isinstance(op, ops.Constant) and not op.shape and node.kind == "real":
            return ("number", rounded(op.value))
        return (repr(op), str(node.shape), tuple(self.of(a) for a in node.args))

    def sum(self, node, terms):
        """The terms as a set. A sum and its opposite have one number more, by which a product knows either."""
        here, opposite = (tuple(sorted((sign * number, rest) for number, rest in terms)) for sign in (1, -1))
        if len(terms) > 1:
            sign = 1 if here <= opposite else -1
            self.unsigned[node] = sign, self.number(("sum or its opposite", str(node.shape), min(here, opposite)))
        return ("sum", str(node.shape), here)

    def factors(self, products):
        """Number and factors of some terms multiplied, each factor with what `where` says of it."""
        number, found = Fraction(1), Counter()
        for term, where in products:
            number = number * term.number
            for part, way in ((term.top, 1), (term.bottom, -1)):
                for base, exponent in part.items():
                    self.of(base)
                    sign, key = self.unsigned.get(base, (1, self.known[base]))
                    if sign < 0 and exponent % 2:
                        number = -number
                    found[key, where(base)] += way * exponent
        return rounded(number), tuple(sorted(found.items(), key=str))

    def contraction(self, node, order):
        """Number and factors with their indices: which of them stand together in an operand makes no difference."""
        names, inputs, output = {}, node.op.inputs, node.op.output
        for index in [*output, *(i for place in order for i in inputs[place])]:
            names.setdefault(index, len(names))

        def indices_in(place):
            def where(base):
                own = inputs[place][len(inputs[place]) - base.ndim :]
                return tuple(names[i] if s != 1 else -1 for i, s in zip(own, base.shape, strict=True))

            return where

        terms = [product_of(a) if a.kind == "real" else Term(top={a: 1}) for a in node.args]
        number, found = self.factors([(terms[place], indices_in(place)) for place in order])
        return number, str(found), tuple(names[i] for i in output)


def flattened(node, op):
    """The terms of nested integer sums, or factors of products."""
    for argument in node.args:
        if argument.op == op and argument.shape == node.shape:
            yield from flattened(argument, op)
        else:
            yield argument


def rounded(number):
    return float(f"{float(number):.9g}")
