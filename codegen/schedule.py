"""What is computed in which order.

Which nodes become buffers, which are fused into their users' loops, what is updated.

Takes expressions, gives stages; the axis each thread owns is decided by `sharding`, loops are made by `lower`. A node
is *heavy* when it needs loops of its own (sums, largest entries, softmax); everything else is *light* and is computed
where it is used, unless it is wanted as an output, feeds a matrix product, or is costly and used twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from symgrad.codegen.ordering import flattened, in_pairs
from symgrad.codegen.products import Product, as_product, entries
from symgrad.codegen.views import base_of, plain_view, view
from symgrad.errors import CompileError
from symgrad.expression import ops
from symgrad.expression.node import Expr, make, rebuild, topological, users
from symgrad.expression.ops import Constant, Contraction, Elementwise, Leaf, Named
from symgrad.expression.scalars import REAL
from symgrad.expression.sizes import Shape

MATRICES = (ops.Inverse, ops.Solve, ops.Determinant, ops.LogDet, ops.Cholesky)
HEAVY = (
    *(ops.Reduce, ops.LogSumExp, ops.Softmax, ops.ArgMax, ops.Scatter, ops.Pad, ops.Concatenate),
    *MATRICES,
)
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
FEW = 64  # products that are summed for one block of a fused product, at most


def is_heavy(node: Expr) -> bool:
    """Whether a node needs loops of its own."""
    if isinstance(node.op, Contraction):
        return any(i not in node.op.output for indices in node.op.inputs for i in indices)
    return isinstance(node.op, HEAVY) or (isinstance(node.op, ops.Overlap) and not side_by_side(node))


def side_by_side(node: Expr) -> bool:
    """Whether the windows of an overlap do not overlap: each entry of the result comes from one place."""
    assert isinstance(node.op, ops.Overlap)
    size = node.args[0].shape[node.op.axis + 1]
    return isinstance(size, int) and node.op.stride == size and node.op.dilation == 1


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


def prepare(roots: Sequence[Expr]) -> tuple[list[Expr], dict[Expr, str]]:
    """The roots without names and with contractions in pairs; and what the nodes were called.

    A product that has a name, is wanted or is used twice is a value; any other is part of the product around it.
    """
    plain: dict[Expr, Expr] = {}
    called: dict[Expr, str] = {}
    for node in topological(roots):
        inner = isinstance(node.op, Named)
        plain[node] = plain[node.args[0]] if inner else make(node.op, *(plain[a] for a in node.args))
        if isinstance(node.op, Named) and not isinstance(plain[node].op, Leaf):
            called.setdefault(plain[node], node.op.name)
    order = topological(plain[r] for r in roots)
    uses = Counter(a for node in order for a in node.args) + Counter(list(called)) + Counter(plain[r] for r in roots)
    whole: dict[Expr, Expr] = {}
    parts: set[Expr] = set()  # of what has been rebuilt: what belongs to the product around it
    for node in order:
        whole[node] = flattened(make(node.op, *(whole[a] for a in node.args)), parts)
        if uses[node] == 1:
            parts.add(whole[node])
    paired: dict[Expr, Expr] = {}
    for node in topological(whole[plain[r]] for r in roots):
        paired[node] = in_pairs(make(node.op, *(paired[a] for a in node.args)))
    names = {paired[whole[node]]: name for node, name in called.items()}
    return [paired[whole[plain[r]]] for r in roots], names


def _copy_operands(roots: Sequence[Expr], copied: Collection[str]) -> list[Expr]:
    """Operands of products that get a buffer of their own.

    Inputs that lie scattered, whole tensors of another kind, and right operands that would be packed anew each time.
    """
    scattered = {n.op for n in topological(roots) if isinstance(n.op, Leaf) and n.op.name in copied}
    done: dict[Expr, Expr] = {}
    for node in topological(roots):
        args = [done[a] for a in node.args]
        product = as_product(node)
        if product:
            args = [_gathered(a, scattered) for a in args]
            args[1 - product.left] = _packed_once(node, product, args[1 - product.left])
        done[node] = make(node.op, *args)
    return [done[r] for r in roots]


def _gathered(operand: Expr, scattered: Collection[ops.Op]) -> Expr:
    leaf = base_of(operand)
    return rebuild([operand], {leaf: make(ops.Cast(REAL), leaf)})[0] if leaf.op in scattered else operand


def _packed_once(node: Expr, product: Product, operand: Expr) -> Expr:
    """A right operand whose columns lie apart and that many products share, with its columns side by side."""
    op = node.op
    assert isinstance(op, Contraction)
    indices = op.inputs[1 - product.left]
    shared = [i for i in product.batch if i not in indices]
    column = indices.index(product.columns)
    apart = view(operand).strides[column]
    if not shared or len(product.depths) < 2 or (isinstance(apart, int) and apart == 1):
        return operand
    order = [i for i in indices if i not in (*product.depths, product.columns)]
    order += [i for i in product.depths if i in indices] + [product.columns]
    turned = make(Contraction((indices,), tuple(order)), operand)
    back = make(Contraction((tuple(order),), indices), make(ops.Cast(REAL), turned))
    return back


def _cost(node: Expr) -> int:
    """How dear it is to compute a light node twice."""
    if isinstance(node.op, Elementwise):
        return 1 if node.op.function in CHEAP else 8
    if isinstance(node.op, ops.Noise):
        return 8
    free = Constant | Leaf | ops.Extent | ops.Slice | ops.Windows | ops.Range
    return 0 if isinstance(node.op, free) else 1


def _stored(roots: Sequence[Expr], order: Sequence[Expr]) -> set[Expr]:
    """The nodes that become buffers."""
    using = users(order)
    stored = {n for n in order if is_heavy(n)}
    stored |= {plain_view(r) for r in roots}
    for node in order:
        if as_product(node):
            stored |= {base_of(a) for a in node.args}
        if isinstance(node.op, MATRICES):
            stored |= {base_of(a) for a in node.args}
        if isinstance(node.op, ops.Softmax | ops.LogSumExp | ops.ArgMax | ops.Reduce):
            source = base_of(node.args[0])  # windows look at an entry several times
            if _work(source, stored) > 2:
                stored.add(source)
    deep: dict[Expr, int] = {}
    for node in order:  # arguments first: the work of what is fused below counts
        many = len(using[node]) > 1 or any(is_heavy(u) for u in using[node])
        deep[node] = 0 if node in stored else 1 + max((deep[a] for a in node.args), default=0)
        if node not in stored and (
            (many and _work(node, stored) > (4 if len(using[node]) > 1 else 12)) or deep[node] > DEEPEST
        ):
            stored.add(node)
            deep[node] = 0
    inside = {n for n in stored if isinstance(n.op, ops.Pad) and using[n] and all(_pads_on(u, n) for u in using[n])}
    wanted = {plain_view(r) for r in roots}
    return {n for n in stored - (inside - wanted) if not isinstance(n.op, Leaf | Constant | ops.Extent)}


def _pads_on(user: Expr, padded: Expr) -> bool:
    """Whether a padding is part of one of another axis around it: both are one."""
    return isinstance(user.op, ops.Pad) and isinstance(padded.op, ops.Pad) and user.op.axis != padded.op.axis


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
        if not product or not isinstance(candidate.shape[-1], int) or not _few(candidate, product):
            continue
        ends = _entrywise_ends(candidate, using, home)
        if len(ends) == 1 and candidate not in ends[0].nodes and ends[0].product is None:
            ends[0].product = candidate
    fused = {s.product for s in stages if s.product is not None}
    stages[:] = [s for s in stages if s.nodes[0] not in fused]
    stored -= {node for node in fused if node is not None}


def _few(node: Expr, product: Product) -> bool:
    """Whether a block of a product is few calls of the tiles: one, or one for each offset of a window."""
    assert isinstance(node.op, Contraction)
    extent = node.op.sizes_of(node.args)
    depths = [extent[i] for i in product.depths]
    return len(depths) == 1 or (all(isinstance(s, int) for s in depths) and entries(depths[:-1]) <= FEW)


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
