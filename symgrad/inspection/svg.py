"""A drawing as SVG and as Graphviz DOT: well-formed, every name escaped, the same bytes on every run, light colours.

Takes a Drawing, gives text. The sizes of boxes are estimated here from the width of characters, generously, because
the reader's fonts are not known.
"""

from __future__ import annotations

import unicodedata
from html import escape

from symgrad.formulas.text import wrapped
from symgrad.inspection import drawing as d
from symgrad.inspection.drawing import Box, Drawing
from symgrad.inspection.layout import layout

FILL = {d.INPUT: "#dbeafe", d.PARAMETER: "#fef0c7", d.CONSTANT: "#eceff3", d.VALUE: "#e3f4e4", d.OPERATION: "#ffffff",
        d.RESULT: "#fde2e4", d.GRADIENT: "#ece4fb"}  # fmt: skip
EDGE = {d.INPUT: "#5b8bd0", d.PARAMETER: "#c39a2b", d.CONSTANT: "#8a94a3", d.VALUE: "#5f9e66", d.OPERATION: "#8a94a3",
        d.RESULT: "#cc5c68", d.GRADIENT: "#8d6fc9"}  # fmt: skip
FONT = "'DejaVu Sans', 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
NAME, FORMULA, SHAPE, LINE = 13, 12, 10.5, 16.0
COLUMNS, LINES = 42, 3  # of a formula in a box
MARGIN, PADDING, LEGEND = 16.0, 11.0, 34.0
NARROW, WIDE = "ijlI.,:;'|!()[] /tfr−-", "mwMW@%∑Σ⊙≤≥≠∧∨"


def text_width(text: str, size: float) -> float:
    """About how wide a text is, in the units of `size`; rather too wide than too narrow.

    >>> text_width("ill", 10) < text_width("mmm", 10)
    True
    """
    total = 0.0
    for c in text:
        if unicodedata.combining(c):
            continue
        wide = unicodedata.east_asian_width(c) in "WF"
        total += 1.05 if wide else 0.42 if c in NARROW else 0.98 if c in WIDE else 0.7 if c.isupper() else 0.64
    return total * size


def lines(box: Box) -> list[tuple[str, str, float]]:
    """The lines of a box as (class, text, size): name, formula, shape; long formulas are broken, then cut."""
    formula = wrapped(box.formula, 2, COLUMNS).split("\n") if box.formula else []
    if len(formula) > LINES:
        formula = [*formula[: LINES - 1], formula[LINES - 1] + " …"]
    shown = [_cut(line.strip()) for line in formula]
    found = [("n", _cut(box.name), NAME)] if box.name else []
    return [*found, *(("f", line, FORMULA) for line in shown), *([("s", box.shape, SHAPE)] if box.shape else [])]


def _cut(line: str) -> str:
    return line if len(line) <= COLUMNS + 8 else line[: COLUMNS + 7] + "…"


def _size(box: Box) -> tuple[float, float]:
    inside = lines(box)
    width = max((text_width(text, size * (1.1 if kind == "n" else 1)) for kind, text, size in inside), default=0.0)
    return max(46.0, width + 2 * PADDING), LINE * len(inside) + PADDING


def svg(picture: Drawing, title: str) -> str:
    """The drawing as one <svg> element with a legend."""
    placed = layout([_size(box) for box in picture.boxes], picture.edges, picture.backward)
    kinds = [kind for kind in d.KINDS if any(box.kind == kind for box in picture.boxes)]
    legend = _legend(kinds, MARGIN + placed.height + LEGEND)
    width = max(placed.width, 20 + sum(30 + text_width(kind, SHAPE) for kind in kinds)) + 2 * MARGIN
    height = placed.height + LEGEND + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" font-family="{FONT}">',
        f"<title>{escape(title)}</title>",
        '<defs><marker id="use" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0.8 L7.2,4 L0,7.2 Z" fill="#7b8794"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        f'<g transform="translate({MARGIN:.0f},{MARGIN:.0f})">',
        '<g fill="none" stroke="#7b8794" stroke-width="1.1">',
        *(f'<path d="{_path(route)}" marker-end="url(#use)"/>' for route in placed.routes),
        "</g>",
        *(_box(box, *corner) for box, corner in zip(picture.boxes, placed.corners, strict=True)),
        "</g>",
        *legend,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _path(points: tuple[tuple[float, float], ...]) -> str:
    """Straight lines in the lanes, curves between the rows."""
    (x, y), *rest = points
    text = f"M{x:.1f},{y:.1f}"
    for place, (u, v) in enumerate(rest):
        if (u, v) == (x, y):  # a line of no length would turn the arrow's head
            continue
        if place % 2 == 0 or u == x:
            text += f"L{u:.1f},{v:.1f}"
        else:
            middle = (y + v) / 2
            text += f"C{x:.1f},{middle:.1f} {u:.1f},{middle:.1f} {u:.1f},{v:.1f}"
        x, y = u, v
    return text


def _box(box: Box, x: float, y: float) -> str:
    width, height = _size(box)
    round_, thick = (height / 2, 1.2) if box.kind in (d.INPUT, d.PARAMETER) else (5, 2 if box.kind == d.RESULT else 1.2)
    styles = {"n": f'font-size="{NAME}" font-weight="600"', "f": f'font-size="{FORMULA}"',
              "s": f'font-size="{SHAPE}" fill="#5f6b7a"'}  # fmt: skip
    inside = [
        f'<text x="{width / 2:.1f}" y="{PADDING / 2 + LINE * (i + 0.75):.1f}" {styles[kind]}>{escape(text)}</text>'
        for i, (kind, text, _) in enumerate(lines(box))
    ]
    whole = " = ".join(filter(None, (box.name, box.formula))) + f" {box.shape}" * bool(box.shape)
    return (
        f'<g class="box" transform="translate({x:.1f},{y:.1f})" text-anchor="middle" fill="#1f2933">'
        f"<title>{escape(box.kind)}: {escape(whole)}</title>"
        f'<rect width="{width:.1f}" height="{height:.1f}" rx="{round_:.1f}" fill="{FILL[box.kind]}" '
        f'stroke="{EDGE[box.kind]}" stroke-width="{thick}"/>{"".join(inside)}</g>'
    )


def _legend(kinds: list[str], y: float) -> list[str]:
    """A line of small boxes with what their colours mean."""
    x, parts = MARGIN, list[str]()
    for kind in kinds:
        parts.append(
            f'<g class="legend" transform="translate({x:.1f},{y:.1f})"><rect width="12" height="12" rx="3" '
            f'fill="{FILL[kind]}" stroke="{EDGE[kind]}"/><text x="17" y="10" font-size="{SHAPE}" '
            f'fill="#5f6b7a">{escape(kind)}</text></g>'
        )
        x += 30 + text_width(kind, SHAPE)
    return parts


def dot(picture: Drawing, title: str) -> str:
    """The drawing as a Graphviz digraph, for whoever has other layouts."""
    rows = [f"digraph {_quoted(title)} {{", '  node [shape=box, style="filled,rounded", fontname="Helvetica"];']
    for number, box in enumerate(picture.boxes):
        label = "\n".join(filter(None, (box.name, box.formula, box.shape)))
        rows.append(
            f"  n{number} [label={_quoted(label)}, tooltip={_quoted(box.kind)}, "
            f'fillcolor="{FILL[box.kind]}", color="{EDGE[box.kind]}"];'
        )
    rows += [f"  n{a} -> n{b};" for a, b in picture.edges]
    return "\n".join([*rows, "}"]) + "\n"


def _quoted(text: str) -> str:
    """A string of DOT: quotes and backslashes escaped, lines as \\n."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
