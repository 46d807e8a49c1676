"""A page that stands alone: HTML that is XML too, its style inside, no script, nothing from the network.

Takes headings and fragments, gives text. Knows nothing of models; every text that is not markup passes `plain`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

# Characters that XML cannot hold, whatever wrote them into a name.
_FOREIGN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 62rem; background: #fff; color: #1f2933;
  font: 1rem/1.55 Charter, 'Bitstream Charter', 'Sitka Text', Cambria, 'DejaVu Serif', serif; }
h1, h2, h3, th, nav, summary, figcaption, .quiet, .badge {
  font-family: system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; }
h1 { font-size: 1.9rem; margin: .5rem 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: .9rem; border-top: 1px solid #d9dee5; }
h3 { font-size: 1.02rem; margin: 1.5rem 0 .4rem; }
p { max-width: 46rem; }
nav { margin: 1.2rem 0; padding: .7rem 1rem; background: #f5f7fa; border-radius: 6px; font-size: .92rem; }
nav ol { margin: 0; padding-left: 1.4rem; columns: 16rem; }
a { color: #1d5fb4; text-decoration: none; } a:hover { text-decoration: underline; }
.quiet { color: #5f6b7a; font-size: .87rem; }
.wide { overflow-x: auto; overflow-y: hidden; padding: .3rem 0; }
table { border-collapse: collapse; font-size: .93rem; }
td, th { padding: .28rem .8rem .28rem 0; text-align: left; vertical-align: baseline; }
th { font-size: .8rem; color: #5f6b7a; font-weight: 600; border-bottom: 1px solid #d9dee5; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
math { font-family: 'STIX Two Math', 'Latin Modern Math', 'Cambria Math', 'Libertinus Math', STIX, math;
  font-size: 1.08em; math-style: normal; }
td math { line-height: 2; }
pre { margin: .3rem 0; padding: .6rem .8rem; background: #f5f7fa; border-radius: 6px; overflow-x: auto;
  font: .78rem/1.45 ui-monospace, 'DejaVu Sans Mono', Consolas, monospace; }
details { margin: .5rem 0; } summary { cursor: pointer; color: #1d5fb4; font-size: .95rem; }
.step { margin: .9rem 0 .9rem .2rem; padding-left: .9rem; border-left: 3px solid #e3e8ee; }
.badge { display: block; max-width: 46rem; margin: .9rem 0; padding: .55rem .8rem; background: #e9f6ea;
  border-left: 4px solid #5f9e66; border-radius: 4px; font-size: .87rem; }
.pair { display: grid; grid-template-columns: minmax(13rem, 2fr) minmax(0, 3fr); gap: 0 1.2rem;
  padding: .8rem 0; border-bottom: 1px solid #eceff3; align-items: start; }
.pair .wide { white-space: nowrap; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem 1.3rem; }
figure { margin: .4rem 0; } figcaption { font-size: .8rem; color: #5f6b7a; max-width: 46rem; }
.figures figcaption { max-width: 8rem; }
img { image-rendering: pixelated; display: block; max-width: 100%; height: auto; }
svg { max-width: none; }
.chart { flex: 1 1 24rem; max-width: 36rem; } .chart svg { width: 100%; height: auto; }
.chart figcaption { max-width: none; }
.matrix td, .matrix th { padding: .22rem .5rem; text-align: right; border: 0; min-width: 1.6rem; }
@media (max-width: 44rem) { .pair { grid-template-columns: minmax(0, 1fr); } h1 { font-size: 1.5rem; } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } nav, h2, h3 { break-after: avoid; }
  .step, .pair, figure, tr { break-inside: avoid; } div { overflow: visible !important; }
  svg { max-width: 100%; height: auto; } pre { white-space: pre-wrap; } }
"""


@dataclass(frozen=True)
class Section:
    """A heading with the fragments below it; `key` is where links lead."""

    key: str
    title: str
    parts: tuple[str, ...]


def plain(text: object) -> str:
    """A text as character data or as the value of an attribute.

    >>> plain("a < b & 'c'")
    'a &lt; b &amp; &#x27;c&#x27;'
    """
    return escape(_FOREIGN.sub("\ufffd", str(text)))


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text; `kind` is its class."""
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{plain(text)}</p>"


def wide(fragment: str) -> str:
    """What may be wider than the page scrolls by itself."""
    return f'<div class="wide">{fragment}</div>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of fragments; columns in `numbers` are set as numbers."""
    kinds = [' class="number"' if i in numbers else "" for i in range(len(heads))]
    head = "".join(f"<th{kind}>{plain(h)}</th>" for kind, h in zip(kinds, heads, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>\n"
        for row in rows
    )
    return wide(f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>")


def folded(summary: str, parts: Iterable[str], unfolded: bool = False) -> str:
    """Fragments that a click shows."""
    opened = ' open="open"' if unfolded else ""
    return f"<details{opened}><summary>{plain(summary)}</summary>\n" + "\n".join(parts) + "\n</details>"


def code(text: str) -> str:
    """Lines of code."""
    return f"<pre><code>{plain(text)}</code></pre>"


def figure(picture: str, caption: str, kind: str = "") -> str:
    """A picture with what it shows."""
    return f'<figure class="{kind or "plain"}">{picture}<figcaption>{plain(caption)}</figcaption></figure>'


def page(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """The whole document: title, lead, table of contents, sections."""
    links = "".join(f'<li><a href="#{s.key}">{plain(s.title)}</a></li>' for s in sections)
    chapters = "\n".join(
        f'<section id="{s.key}">\n<h2>{plain(s.title)}</h2>\n' + "\n".join(s.parts) + "\n</section>" for s in sections
    )
    return (
        "<!DOCTYPE html>\n"
        '<html xmlns="http://www.w3.org/1999/xhtml" lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{plain(POLICY)}"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{plain(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{plain(title)}</h1>\n"
        + "\n".join(lead)
        + f'\n<nav aria-label="contents"><ol>{links}</ol></nav>\n{chapters}\n</body>\n</html>\n'
    )
