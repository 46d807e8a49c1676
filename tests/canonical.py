"""What an expression is apart from the order in which sums and products are written: equal ones have equal keys.

Independent of the order that `simplify` leaves: terms and factors are sets, numbers are compared to nine digits (a
product of numbers is rounded in the order in which it is taken), the operands of a contraction may change places.
"""

from collections import Counter
from itertools import permutations

from symgrad.calculus.arithmetic import ARITHMETIC, collect, sum_of
from symgrad.calculus.factoring import negated
from symgrad.expression import ops
from symgrad.expression.node import topological


class Keys:
    """Keys of expressions; two expressions asked of the same object can be compared."""

    def __init__(self):
        self.numbers = {}  # of a key, in the order of appearance
        self.known = {}  # of a node

    def of(self, expression):
        for node in topological([expression], stop=self.known.__contains__):
            if node not in self.known:
                self.known[node] = self.numbers.setdefault(self.key(node), len(self.numbers))
        return self.known[expression]

    def key(self, node):
        op = node.op
        if isinstance(op, ops.Contraction):
            orders = permutations(range(len(node.args)))
            return ("contraction", str(node.shape), min(self.contraction(node, order) for order in orders))
        if isinstance(op, ops.Elementwise) and op.function in ARITHMETIC and node.kind == "real":
            terms = collect(sum_of(node))
            if not (len(terms) == 1 and node in terms[0].top):
                return ("sum", node.shape, frozenset(map(self.term, terms)))
        if isinstance(op, ops.Elementwise) and op.function in ("add", "multiply"):
            return (op, node.shape, tuple(sorted(self.of(a) for a in flattened(node, op))))
        if isinstance(op, ops.Constant) and not op.shape and node.kind == "real":
            return ("number", rounded(op.value))
        return (repr(op), str(node.shape), tuple(self.of(a) for a in node.args))

    def term(self, term):
        """A product; of a difference and its opposite one stands for both, the sign goes to the number."""
        number, parts = term.number, []
        for part in (term.top, term.bottom):
            powers = Counter()
            for base, exponent in part.items():
                opposite = negated(base)
                key = self.of(base)
                if opposite is not None and self.of(opposite) < key:
                    key, number = self.of(opposite), number * (-1) ** exponent
                powers[key] += exponent
            parts.append(frozenset(powers.items()))
        return rounded(number), *parts

    def contraction(self, node, order):
        names = {}
        inputs, output = node.op.inputs, node.op.output
        for index in [*(i for place in order for i in inputs[place]), *output]:
            names.setdefault(index, len(names))
        operands = tuple((self.of(node.args[place]), tuple(names[i] for i in inputs[place])) for place in order)
        return operands, tuple(names[i] for i in output)


def flattened(node, op):
    """The terms of nested integer sums, or factors of products."""
    for argument in node.args:
        if argument.op == op and argument.shape == node.shape:
            yield from flattened(argument, op)
        else:
            yield argument


def rounded(number):
    return f"{float(number):.9g}"
