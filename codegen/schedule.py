"""What is computed in which order.

Which nodes become buffers, which are fused into their users' loops, what is updated.

Takes expressions, gives stages; the axis each thread owns is decided by `sharding`, loops are made by `lower`. A node
is *heavy* when it needs loops of its own (sums, largest entries, softmax); everything else is *light* and is computed
where it is used, unless it is wanted as an output, feeds a matrix product, or is costly and used twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from symgrad.errors import CompileError
from symgrad.expression import ops
from symgrad.expression.node import Expr, make, rebuild, topological, users
from symgrad.expression.ops import Constant, Contraction, Elementwise, Leaf, Named
from symgrad.expression.scalars import REAL
from symgrad.expression.sizes import Shape

HEAVY = (ops.Reduce, ops.LogSumExp, ops.Softmax, ops.ArgMax, ops.Scatter)
CHEAP = {
    "add",
    "subtract",
    "multiply",
    "negative",
    "relu",
    "abs",
    "maximum",
    "minimum",
    "where",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "equal",
    "not_equal",
    "logical_and",
    "logical_or",
    "logical_not",
    "sign",
}
DEEPEST = 60  # light nodes on top of each other in one loop
TYPICAL = 128  # what a named size is taken for when work is weighed


def entries(shape: Shape) -> int:
    """About how many entries a shape has."""
    total = 1
    for size in shape:
        total *= size if isinstance(size, int) else TYPICAL
    return total


@dataclass(frozen=True)
class Product:
    """A contraction seen as matrix products: rows by columns, summed over depth, for each of the batch indices."""

    rows: int
    columns: int
    depth: int
    batch: tuple[int, ...]
    left: int  # which operand holds the rows


def as_product(node: Expr) -> Product | None:
    """How a two-operand contraction is a matrix product, or None: the last index of the result is the columns'."""
    op = node.op
    if not isinstance(op, Contraction) or len(op.inputs) != 2 or len(op.output) < 2 or op.new:
        return None
    a, b = (set(i) for i in op.inputs)
    if any(len(set(i)) != len(i) for i in op.inputs) or any(x.kind != REAL for x in node.args):
        return None
    summed = (a | b) - set(op.output)
    columns = op.output[-1]
    if len(summed) != 1 or not summed <= (a & b) or (columns in a) == (columns in b):
        return None
    left = 0 if columns in b else 1
    mine = a if left == 0 else b
    other = b if left == 0 else a
    rows = [i for i in op.output if i in mine and i not in other]
    if not rows:
        return None
    batch = tuple(i for i in op.output[:-1] if i != rows[-1])
    return Product(rows[-1], columns, summed.pop(), batch, left)


def plain_view(node: Expr) -> Expr:
    """The node whose buffer serves for this one with other strides: below names and transposes."""
    while True:
        if isinstance(node.op, Named) or is_permutation(node):
            node = node.args[0]
        else:
            return node


def is_permutation(node: Expr) -> bool:
    """Whether a node is its only argument with the axes reordered."""
    op = node.op
    return (
        isinstance(op, Contraction)
        and len(op.inputs) == 1
        and not op.new
        and len(set(op.inputs[0])) == len(op.inputs[0])
        and set(op.inputs[0]) == set(op.output)
        and node.kind == node.args[0].kind
    )


def is_heavy(node: Expr) -> bool:
    """Whether a node needs loops of its own."""
    if isinstance(node.op, Contraction):
        return any(i not in node.op.output for indices in node.op.inputs for i in indices)
    return isinstance(node.op, HEAVY)


@dataclass
class Stage:
    """Nodes computed together over one index space: each is stored to its own buffer, or in place of a leaf."""

    nodes: list[Expr]
    targets: list[Expr | None]  # the leaf that is overwritten, or None for a buffer of the node's own
    product: Expr | None = None  # a matrix product computed block by block just for these nodes
    only_training: bool = False

    @property
    def shape(self) -> Shape:
        return self.nodes[0].shape


@dataclass
class Schedule:
    """Stages in order; `outputs` by name; every named or stored node's name."""

    stages: list[Stage]
    outputs: dict[str, Expr]
    updates: list[tuple[Expr, Expr]]
    inputs: dict[str, Expr]
    names: dict[Expr, str] = field(default_factory=dict)
    stored: set[Expr] = field(default_factory=set)


def split_operands(node: Expr) -> Expr:
    """Three and more operands become pairs, the cheapest intermediate first; an entrywise sum of products stays one."""
    op = node.op
    while isinstance(op, Contraction) and len(op.inputs) > 2 and len(set(map(frozenset, op.inputs))) > 1:
        extent = op.sizes_of(node.args)
        best: tuple[int, int, int, tuple[int, ...]] | None = None
        for i in range(len(op.inputs)):
            for j in range(i + 1, len(op.inputs)):
                outside = {n for k, other in enumerate(op.inputs) if k not in (i, j) for n in other} | set(op.output)
                kept = tuple(n for n in dict.fromkeys(op.inputs[i] + op.inputs[j]) if n in outside)
                cost = entries(tuple(extent[n] for n in kept))
                if best is None or cost < best[0]:
                    best = (cost, i, j, kept)
        assert best is not None
        _, i, j, kept = best
        pair = make(Contraction((op.inputs[i], op.inputs[j]), kept), node.args[i], node.args[j])
        rest = [k for k in range(len(op.inputs)) if k not in (i, j)]
        node = make(
            Contraction((kept, *(op.inputs[k] for k in rest)), op.output, op.new), pair, *(node.args[k] for k in rest)
        )
        op = node.op
    return node


def prepare(roots: Sequence[Expr]) -> tuple[list[Expr], dict[Expr, str]]:
    """The roots without names and with contractions in pairs; and what the nodes were called."""
    done: dict[Expr, Expr] = {}
    names: dict[Expr, str] = {}
    for node in topological(roots):
        if isinstance(node.op, Named):
            done[node] = done[node.args[0]]
            if not isinstance(done[node].op, Leaf):
                names.setdefault(done[node], node.op.name)
        else:
            done[node] = split_operands(make(node.op, *(done[a] for a in node.args)))
    return [done[r] for r in roots], names


def _copy_operands(roots: Sequence[Expr], copied: Collection[str]) -> list[Expr]:
    """Inputs that lie scattered, and whole tensors of another kind, get a buffer where a product reads them."""

    def change(node: Expr) -> Expr:
        if not as_product(node):
            return node
        args = [
            rebuild([a], {leaf: make(ops.Cast(REAL), leaf)})[0] if (leaf := plain_view(a)).op in scattered else a
            for a in node.args
        ]
        return make(node.op, *args)

    scattered = {n.op for n in topological(roots) if isinstance(n.op, Leaf) and n.op.name in copied}
    return rebuild(roots, change) if scattered else list(roots)


def _cost(node: Expr) -> int:
    """How dear it is to compute a light node twice."""
    if isinstance(node.op, Elementwise):
        return 1 if node.op.function in CHEAP else 8
    return 0 if isinstance(node.op, Constant | Leaf | ops.Extent) else 1


def _stored(roots: Sequence[Expr], order: Sequence[Expr]) -> set[Expr]:
    """The nodes that become buffers."""
    using = users(order)
    stored = {n for n in order if is_heavy(n)}
    stored |= {plain_view(r) for r in roots}
    for node in order:
        if as_product(node):
            stored |= {plain_view(a) for a in node.args}
        if (
            isinstance(node.op, ops.Softmax | ops.LogSumExp | ops.ArgMax | ops.Reduce)
            and _work(node.args[0], stored) > 2
        ):
            stored.add(plain_view(node.args[0]))
    deep: dict[Expr, int] = {}
    for node in order:  # arguments first: the work of what is fused below counts
        many = len(using[node]) > 1 or any(is_heavy(u) for u in using[node])
        deep[node] = 0 if node in stored else 1 + max((deep[a] for a in node.args), default=0)
        if node not in stored and (
            (many and _work(node, stored) > (4 if len(using[node]) > 1 else 12)) or deep[node] > DEEPEST
        ):
            stored.add(node)
            deep[node] = 0
    return {n for n in stored if not isinstance(n.op, Leaf | Constant | ops.Extent)}


def _work(node: Expr, stored: set[Expr]) -> int:
    """The work of computing a node in place, down to what is stored; counted up to a bound."""
    total, stack, seen = 0, [node], set()
    while stack and total <= 64:
        current = stack.pop()
        if current in seen or (current in stored and current is not node):
            continue
        seen.add(current)
        total += _cost(current)
        stack.extend(current.args)
    return total


def make_schedule(
    outputs: Mapping[str, Expr], updates: Sequence[tuple[Expr, Expr]] = (), copied: Collection[str] = ()
) -> Schedule:
    """The stages that compute the outputs, then the updates (leaf, new value), which overwrite their leaves in place.

    `copied` names inputs that lie scattered (their rows are picked): a matrix product takes a copy of them.
    """
    roots, names = prepare([*outputs.values(), *(value for _, value in updates)])
    roots = _copy_operands(roots, copied)
    wanted = dict(zip(outputs, roots, strict=False))
    new_values = roots[len(outputs) :]
    order = topological(roots)
    stored = _stored(list(wanted.values()), order)
    stored -= set(new_values) - {plain_view(w) for w in wanted.values()}
    forward = set(topological(wanted.values()))
    assignments = [(leaf, value) for (leaf, _), value in zip(updates, new_values, strict=True)]
    stages: list[Stage] = []
    for node in order:
        if node in stored:
            stages.append(Stage([node], [None], only_training=node not in forward))
    stages += _update_stages(assignments, stored)
    _fuse_products(stages, order, stored, {plain_view(w) for w in wanted.values()})
    stages = order_updates(stages, stored)
    inputs = {n.op.name: n for n in order if isinstance(n.op, Leaf)} | {leaf.name: leaf for leaf, _ in assignments}
    return Schedule(stages, wanted, assignments, inputs, names, stored)


def _update_stages(assignments: Sequence[tuple[Expr, Expr]], stored: set[Expr]) -> list[Stage]:
    """Updates of one shape that share a gradient or a state are one loop: weight and optimizer state together.

    None moves to before a stage that still reads what it overwrites.
    """
    stages: list[Stage] = []
    sources: list[set[Expr]] = []
    changed = {leaf for leaf, _ in assignments}  # the rate and the number of the step are scalars that all share
    for leaf, value in assignments:
        source = {
            n
            for n in topological([value], stop=stored.__contains__)
            if n in stored or (isinstance(n.op, Leaf) and (n.shape or n in changed))
        }
        for place, (stage, other) in enumerate(zip(stages, sources, strict=True)):
            read_later = any(leaf in later for later in sources[place + 1 :])
            if stage.shape == value.shape and source & other and not read_later:
                stage.nodes.append(value)
                stage.targets.append(leaf)
                other |= source
                break
        else:
            stages.append(Stage([value], [leaf], only_training=True))
            sources.append(source)
    return stages


def _fuse_products(stages: list[Stage], order: Sequence[Expr], stored: set[Expr], outputs: Collection[Expr]) -> None:
    """A matrix product that one stage alone uses, entry by entry, is computed inside that stage, block by block."""
    using = users(order)
    home = {node: stage for stage in stages for node in stage.nodes}
    for candidate in [s.nodes[0] for s in stages if s.targets == [None] and s.nodes[0] not in outputs]:
        product = as_product(candidate)
        if not product or product.batch or len(candidate.shape) != 2:
            continue
        ends = _entrywise_ends(candidate, using, home)
        if len(ends) == 1 and candidate not in ends[0].nodes and ends[0].product is None:
            ends[0].product = candidate
    fused = {s.product for s in stages if s.product is not None}
    stages[:] = [s for s in stages if s.nodes[0] not in fused]
    stored -= {node for node in fused if node is not None}


def _entrywise_ends(node: Expr, using: Mapping[Expr, list[Expr]], home: Mapping[Expr, Stage]) -> list[Stage]:
    """The stages that use a node entry by entry, or nothing when some use is of another kind."""
    ends: list[Stage] = []
    frontier, seen = [node], set()
    while frontier:
        current = frontier.pop()
        for user in using[current]:
            if not isinstance(user.op, Elementwise) or user.shape != node.shape:
                return []
            if user in home and home[user] not in ends:
                ends.append(home[user])
            if user not in seen and not (user in home and home[user].targets == [None]):
                seen.add(user)
                frontier.append(user)
        if current is not node and not using[current] and current not in home:
            return []
    return ends


def _leaves_read(stage: Stage, stored: set[Expr]) -> set[Expr]:
    return {n for node in stage.nodes for n in topological([node], stop=stored.__contains__) if isinstance(n.op, Leaf)}


def order_updates(stages: Sequence[Stage], stored: set[Expr]) -> list[Stage]:
    """The stages with the updates in an order in which none reads a leaf that an earlier one has overwritten.

    Raises CompileError where there is none: two weights whose new values both need the other's old one.
    """
    left = [s for s in stages if s.targets != [None] * len(s.targets)]
    updating = {id(s) for s in left}
    first = [s for s in stages if id(s) not in updating]
    reads = {id(s): _leaves_read(s, stored) for s in left}
    done: list[Stage] = []
    while left:
        free = (s for s in left if not any(set(s.targets) & reads[id(other)] for other in left if other is not s))
        chosen = next(free, None)
        if chosen is None:
            names = ", ".join(t.name for s in left for t in s.targets if t is not None)
            raise CompileError(
                f"no kernel can train this yet: the new values of {names} all need each other's old ones"
            )
        left = [s for s in left if s is not chosen]
        done.append(chosen)
    return first + done
