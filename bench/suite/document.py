# SPDX-License-Identifier: MIT
"""One list of blocks, written as Markdown and as one HTML file that needs nothing else.

A block is a tuple: ("title"|"section"|"part", text), ("text", text), ("note", text), ("list", [text]),
("table", [head], [[cell]]), ("folded", summary, [head], [[cell]], file that has the same), ("plots", [(name, what it shows)]).
A cell is a text, or (text, "loss"|"win"|"name"|"plain") to mark it. In texts, **bold** and `code` work in both.
"""

import html
import os
import re

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 1180px; margin: 0 auto; padding: 0 16px 48px }
h1 { font-size: 26px; margin: 28px 0 8px } h2 { font-size: 20px; margin: 36px 0 8px; border-bottom: 1px solid #ccc }
h3 { font-size: 16px; margin: 24px 0 6px }
nav { font-size: 14px } nav a { margin-right: 14px; white-space: nowrap } a { color: #1f5fa8 }
p, ul { max-width: 900px; margin: 8px 0 } li { overflow-wrap: anywhere } code { font-size: 13px; overflow-wrap: anywhere }
.note { border-left: 5px solid #c77700; background: #fff4e0; padding: 8px 12px }
.wide { overflow-x: auto; margin: 8px 0 } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: 3px 8px; border-bottom: 1px solid #e4e4e4; text-align: right; white-space: nowrap }
th { border-bottom: 2px solid #999; white-space: normal; vertical-align: bottom } tr > :first-child { text-align: left }
td.loss { background: #fbdcd6; color: #7d150a; font-weight: 600 }
td.win { background: #d9ead9; color: #10501c; font-weight: 600 } td.name { text-align: left }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 560px), 1fr)); gap: 12px }
.plots.single { display: block }
figure { margin: 0; overflow-x: auto }
figure svg { display: block; width: 100%; min-width: 580px; max-width: 900px; height: auto } .single svg { min-width: 760px }
summary { cursor: pointer; margin: 8px 0 }
"""


def text_of(cell):
    return cell[0] if isinstance(cell, tuple) else cell


# ---- Markdown

def markdown(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|---" + "|---:" * (len(head) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def markdown_cell(cell):
    text = text_of(cell).replace("|", "\\|")
    return f"**{text}**" if isinstance(cell, tuple) and cell[1] == "loss" else text


def markdown_block(block, plots):
    kind, *rest = block
    if kind in ("title", "section", "part"):
        yield {"title": "# ", "section": "## ", "part": "### "}[kind] + rest[0]
    elif kind == "text":
        yield rest[0]
    elif kind == "note":
        yield f"> **Note.** {rest[0]}"
    elif kind == "list":
        yield from (f"* {line}" for line in rest[0])
    elif kind == "table":
        yield from markdown(rest[0], ([markdown_cell(cell) for cell in row] for row in rest[1]))
    elif kind == "folded":
        yield f"{rest[0]}: `{rest[3]}`."
    elif kind == "plots":
        yield from (f"![{what}](plots/{name}.svg)" for name, what in rest[0] if name in plots)


def to_markdown(blocks, plots):
    lines = []
    for block in blocks:
        lines += [*markdown_block(block, plots), ""]
    return "\n".join(lines)


# ---- HTML

def inline(text):
    text = html.escape(text, quote=False)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)


def anchor(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def html_table(head, rows):
    yield '<div class="wide"><table><thead><tr>' + "".join(f"<th>{inline(text)}</th>" for text in head) + "</tr></thead><tbody>"
    for row in rows:
        marks = (f' class="{cell[1]}"' if isinstance(cell, tuple) else "" for cell in row)
        yield "<tr>" + "".join(f"<td{mark}>{inline(text_of(cell))}</td>" for mark, cell in zip(marks, row)) + "</tr>"
    yield "</tbody></table></div>"


def embedded(path, name, what):
    """The plot without what only a file of its own needs, and with names that no other plot of the page has."""
    with open(path) as file:
        svg = file.read()
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", svg)
    svg = re.sub(r"<desc>.*?</desc>|<title>Gnuplot</title>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\bid=(['\"])", rf"id=\1{name}-", svg)
    svg = re.sub(r"href=(['\"])#", rf"href=\1#{name}-", svg)
    svg = svg.replace("url(#", f"url(#{name}-")
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(what)}"', 1).strip()


def html_plots(shown, plots):
    present = [(name, what) for name, what in shown if name in plots]
    if not present:
        return
    yield f'<div class="plots{" single" if len(present) == 1 else ""}">'
    for name, what in present:
        yield f'<figure id="plot-{name}">{embedded(plots[name], name, what)}</figure>'
    yield "</div>"


def html_block(block, plots):
    kind, *rest = block
    if kind in ("title", "section", "part"):
        level = {"title": 1, "section": 2, "part": 3}[kind]
        yield f'<h{level} id="{anchor(rest[0])}">{inline(rest[0])}</h{level}>'
    elif kind in ("text", "note"):
        yield f'<p class="{kind}">{inline(rest[0])}</p>'
    elif kind == "list":
        yield "<ul>" + "".join(f"<li>{inline(line)}</li>" for line in rest[0]) + "</ul>"
    elif kind == "table":
        yield from html_table(*rest)
    elif kind == "folded":
        yield f"<details><summary>{inline(rest[0])} (also in {inline(rest[3])})</summary>"
        yield from html_table(rest[1], rest[2])
        yield "</details>"
    elif kind == "plots":
        yield from html_plots(rest[0], plots)


def to_html(blocks, plots):
    title = next(block[1] for block in blocks if block[0] == "title")
    sections = [block[1] for block in blocks if block[0] == "section"]
    lines = ["<!DOCTYPE html>", '<html lang="en"><head><meta charset="utf-8">',
             '<meta name="viewport" content="width=device-width, initial-scale=1">',
             f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>"]
    for block in blocks:
        lines += html_block(block, plots)
        if block[0] == "title":
            lines.append("<nav>" + " ".join(f'<a href="#{anchor(text)}">{inline(text)}</a>' for text in sections) + "</nav>")
    return "\n".join(lines + ["</body></html>", ""])


def plots_of(folder):
    """{name: path} of the plots that are there."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return {name.removesuffix(".svg"): os.path.join(folder, name) for name in sorted(names) if name.endswith(".svg")}
