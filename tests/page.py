"""Pages of docs/ as man pages: `make pages` writes them, and tests/test_docs.py holds that it was done.

Headings, paragraphs, `code`, links, tables of two columns and blocks of code, as these pages have them; no more.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

DATE = "December 1, 2026"
ESCAPES = (("\\", "\\e"), ("-", "\\-"), ("'", "\\(aq"), ("`", "\\(ga"), ("^", "\\(ha"), ("~", "\\(ti"))
PAGES = {"tutorial": "neuromanager-tutorial", "faq": "neuromanager-faq"}


def escape(text: str) -> str:
    for letter, escaped in ESCAPES:
        text = text.replace(letter, escaped)
    return re.sub(r"(?m)^\.", "\\&.", text)


def render_text(text: str) -> list[str]:
    """Prose, a line for each sentence; `code` stands in quotes."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(text.split()))
    pieces = [
        "\\(oq" + escape(piece[1:-1]) + "\\(cq" if piece[:1] == "`" else escape(piece)
        for piece in re.split("(`[^`]*`)", text)
    ]
    return [line.lstrip() for line in re.split(r"(?<=[.:?!])\s+(?=[A-Z])", "".join(pieces))]


def render_table(rows: list[str]) -> list[str]:
    lines = [".Bl -tag -width Ds"]
    for row in rows[2:]:
        first, *others = [cell.strip() for cell in row.strip("|").split("|")]
        lines += [f".It {' '.join(render_text(first))}", *render_text("; ".join(others))]
    return [*lines, ".El"]


def render_page(text: str, name: str) -> str:
    title, _, body = text.partition("\n")
    lines = [f".Dd {DATE}", f".Dt {name.upper()} 7", ".Os neuromanager", ".Sh NAME", f".Nm {name}"]
    lines += [f".Nd {title.lstrip('# ').lower()}", ".Sh DESCRIPTION"]
    for part in re.findall(r"(?ms)^```.*?^```$|^(?:[^\n]+\n)+", body):
        if part.startswith("```"):
            code = part.partition("\n")[2].removesuffix("```").rstrip("\n")
            lines += [".Bd -literal -offset indent", *escape(code).split("\n"), ".Ed"]
        elif part.startswith("## "):
            lines.append(f".Ss {escape(part[3:].strip())}")
        elif part.startswith("|"):
            lines += render_table(part.splitlines())
        elif not part.startswith("<!--"):
            lines += [*([] if lines[-1].startswith((".Ss", ".Sh")) else [".Pp"]), *render_text(part)]
    lines += [".Sh SEE ALSO", ".Xr neurun 1 ,", ".Xr neusweep 1 ,", ".Xr neuromanager 7"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    for page, name in PAGES.items():
        text = (root / "docs" / f"{page}.md").read_text(encoding="utf-8")
        (root / "man" / f"{name}.7").write_text(render_page(text, name), encoding="utf-8")
        sys.stderr.write(f"man/{name}.7\n")
