"""Formulas given as text: what is understood, and that nothing in a text is ever executed."""

import builtins
import os
import subprocess
import sys

import numpy as np
import pytest

import symgrad as sg

x, w = sg.variable("x", ("N", 3)), sg.parameter("w", (3, 2))
NAMES = {"x": x, "w": w}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("x + 1", x + 1), ("-x * 2.5", -x * 2.5), ("x @ w", x @ w), ("x.T", x.T), ("x**2", x**2), ("(x - 1) / 3", (x - 1) / 3),
        ("exp(-x)", sg.exp(-x)), ("sum(x, axis=0)", sg.sum(x, axis=0)), ("sum(x, axis=(0, 1))", sg.sum(x, axis=(0, 1))),
        ("max(x, axis=1, keepdims=True)", sg.max(x, axis=1, keepdims=True)), ("x > 0", x > 0), ("where(x > 0, x, 0)", sg.where(x > 0, x, 0)),
        ("abs(x)", abs(x)), ("einsum('ij,jk->ik', x, w)", sg.einsum("ij,jk->ik", x, w)), ("reshape(w, (6,))", sg.reshape(w, (6,))),
        ("  x  ", x), ("x == 1", sg.equal(x, 1)), ("x != 1", sg.not_equal(x, 1)), ("log_softmax(x)", sg.log_softmax(x)),
        ("1e-3 * x", 1e-3 * x), ("transpose(w, (1, 0))", sg.transpose(w, (1, 0))), ("2**x", 2**x), ("+x", x),
    ],
)  # fmt: skip
def test_what_is_understood(text, want):
    assert sg.parse(text, NAMES) is want


def refused(text):
    """The error that ``text`` is refused with, after little work: calls are counted, since seconds depend on what else the machine does."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    usual = sys.getprofile()
    sys.setprofile(count)
    try:
        with pytest.raises(sg.ExpressionError) as caught:
            sg.parse(text, NAMES)
    finally:
        sys.setprofile(usual)
    assert calls < 5000, text
    return caught.value


ATTACKS = """
__import__('os').system('touch {canary}')
__import__("os").popen("touch {canary}").read()
exec("open('{canary}', 'w')")
eval("open('{canary}', 'w')")
open('{canary}', 'w')
compile("1", "", "exec")
getattr(x, "__class__")
globals()
locals()
vars()
dir(x)
type(x)
print(x)
input()
breakpoint()
help(x)
exit()
quit()
lambda: x
(lambda: open('{canary}', 'w'))()
[open('{canary}', 'w') for _ in (1,)]
[a for a in x]
{{a for a in (1, 2)}}
{{a: 1 for a in (1, 2)}}
(a for a in (1, 2))
x.__class__
x.__class__.__mro__[1].__subclasses__()
().__class__.__bases__[0].__subclasses__()
x.op
x.args
x.op.name
x.named("h")
x.T.op
x.__reduce__()
x.T.__init__.__globals__
exp.__globals__
exp.__globals__['os'].system('touch {canary}')
sum.__class__
f"{{x}}"
f"{{open('{canary}', 'w')}}"
"a" + "b"
b"bytes"
x[lambda: 0]
x[open('{canary}', 'w')]
x if x else x
x and x
x or x
not x
~x
x // 2
x % 2
x << 2
x | x
x & x
x in x
x is x
x < x < x
x := 1
(a := open('{canary}', 'w'))
x = 1
x; x
import os
import os; os.system('touch {canary}')
del x
return x
yield x
await x
*x
**x
exp(*x)
exp(**x)
exp(x, init=open('{canary}', 'w'))
sum(x, dtype=1)
variable("z", (2,))
parameter("z", (2,))
constant(1)
parse("x", 1)
elementwise(x)
named(x, "y")
scatter(x, x, 3)
numpy.exp(x)
np.exp(x)
sg.exp(x)
os.system('touch {canary}')
unknown
unknown(x)
exp
...
None
1j
2**100000
x**1000000
einsum(x, x)
exp()
exp(x, x, x)
sum(x, 'a')
sum('x')
einsum('ij->' + 'i', x)
# comment

(
)
x +
x x
((x)
x\x00
\u202e x
"""


def attack_texts(canary):
    return [
        line.format(canary=canary).replace("\\x00", "\x00").replace("\\u202e", "\u202e")
        for line in ATTACKS.split("\n")[1:-1]
    ]


def test_nothing_in_a_text_is_executed(tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    for module, name in ((builtins, "open"), (os, "system"), (subprocess, "Popen")):
        monkeypatch.setattr(module, name, lambda *given, **named: pytest.fail("executed"))
    texts = attack_texts(canary)
    assert len(texts) >= 60
    for text in texts:
        refused(text)
        assert not canary.exists(), text


@pytest.mark.parametrize(
    "text",
    ["(" * 5000 + "x" + ")" * 5000, "-" * 5000 + "x", "x" + "+x" * 6000, "exp(" * 500 + "x" + ")" * 500, "x" * 20_000, "[" * 101 + "]" * 101,
     "x" + ".T" * 4000, "x" + "**2" * 2000, "1" * 9000, "x+" * 2000 + "x"],
)  # fmt: skip
def test_limits(text):
    assert len(str(refused(text))) < 500


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("x + foo", 5, "foo is not declared; declared are: x, w"), ("x + sqr(x)", 5, "no function sqr"), ("x $ 1", 3, "not a formula"),
        ("x + (1 2)", 6, "not a formula"), ("exp(x, axis=0)", 1, "exp"), ("x + {x}", 5, "cannot stand in a formula"),
        ("sum(x, dim=0)", 1, "no argument dim"), ("  x + foo", 5, "foo"), ("x + x**9999", 5, "integer powers"),
    ],
)  # fmt: skip
def test_a_message_points_at_the_column(text, column, words):
    with pytest.raises(sg.ExpressionError) as caught:
        sg.parse(text, NAMES)
    message = str(caught.value)
    assert words in message and message.endswith(f"^ column {column}"), message
    *_, shown, marker = message.splitlines()
    assert shown.strip() == text.strip() and marker.index("^") - (len(shown) - len(shown.lstrip())) == column - 1


def test_shape_errors_come_through_as_they_are():
    with pytest.raises(sg.ShapeError, match="inner sizes differ"):
        sg.parse("w @ x", {"w": sg.variable("w", (2, 2)), "x": sg.variable("x", (3,))})


def test_powers_of_powers_are_not_computed():
    assert sg.parse("9**9**9**9", {}) is sg.constant(9) ** (sg.constant(9) ** (sg.constant(9) ** sg.constant(9)))  # its digits fill no memory


def test_numbers_are_exact():
    assert sg.evaluate(sg.parse("0.1 + 1e300", {})) == 0.1 + 1e300
    np.testing.assert_array_equal(sg.evaluate(sg.parse("-0.0 * x", {"x": sg.constant([1.0])})), [-0.0])
