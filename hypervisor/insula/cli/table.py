"""Rows on the terminal: columns as wide as their content, sizes and ages in Docker's words, `--format` applied.

A row is a mapping of Docker's placeholder names to values; a view is the list of columns that is shown when nobody
asks for others. What comes from an image or a guest is printed without its control characters.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from insula.cli.template import Method, parse_template, render, to_json

GAP = 3
ROW = dict[str, Any]
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True, slots=True)
class View:
    """columns: (title, placeholder), in their order; titles: of placeholders that are not among them."""

    columns: Sequence[tuple[str, str]]
    titles: dict[str, str]


def print_rows(rows: Iterable[ROW], view: View, form: str) -> None:
    """form: empty or `table` for the view's own columns, `json`, `table TEMPLATE`, or a template for each row."""
    if form == "json":
        form = "{{json .}}"
    if form in ("", "table"):
        lines = [[title for title, _ in view.columns]]
        lines += [[clean(row[name]) for _, name in view.columns] for row in rows]
        print_table(lines)
        return
    aligned = form.startswith("table ")
    nodes = parse_template(form.removeprefix("table "))
    texts = [clean_line(render(nodes, row)) for row in rows]
    if aligned:
        titles = {name: title for title, name in view.columns} | view.titles
        heads = {**titles, "Label": Method(lambda key="": str(key).upper(), bare=False)}
        print_table([line.split("\t") for line in [render(nodes, heads), *texts]])
    else:
        for text in texts:
            print(text)


def print_table(lines: Sequence[Sequence[str]]) -> None:
    widths: list[int] = []
    for line in lines:
        for number, text in enumerate(line):
            if number == len(widths):
                widths.append(0)
            widths[number] = max(widths[number], len(text))
    for line in lines:
        cells = [text.ljust(widths[number] + GAP) for number, text in enumerate(line[:-1])]
        print("".join([*cells, line[-1]]).rstrip() if line else "")


def clean(value: Any) -> str:
    """A cell: one line, nothing that moves the cursor."""
    text = to_json(value) if isinstance(value, dict | list) else str(value)
    return "".join(letter if letter.isprintable() else " " for letter in text)


def clean_line(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter in "\t\n" else " " for letter in text)


# -- Docker's words


def human_size(size: float) -> str:
    """Four digits at most, in powers of 1000: `1.23MB`."""
    unit = 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.3g}{UNITS[unit]}" if size < 999.5 else f"{size:.0f}{UNITS[unit]}"


def human_bytes(size: float) -> str:
    """In powers of 1024: `1.5GiB`."""
    names = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    unit = 0
    while size >= 1024 and unit < len(names) - 1:
        size /= 1024
        unit += 1
    return f"{size:.4g}{names[unit]}"


AGES = ((60, 1, "second"), (3600, 60, "minute"), (48 * 3600, 3600, "hour"), (14 * 86400, 86400, "day"),
        (60 * 86400, 7 * 86400, "week"), (730 * 86400, 30 * 86400, "month"))  # fmt: skip


def age(created: float) -> str:
    """`5 minutes ago`, of a Unix time."""
    seconds = max(0, int(time.time() - created))
    return f"{duration(seconds)} ago"


def duration(seconds: int) -> str:
    if seconds < 1:
        return "Less than a second"
    if 60 <= seconds < 120:
        return "About a minute"
    if 3600 <= seconds < 5400:
        return "About an hour"
    for bound, unit, word in AGES:
        if seconds < bound:
            number = (seconds + (unit // 2 if word == "hour" else 0)) // unit
            return f"{number} {word}{'' if number == 1 else 's'}"
    return f"{seconds // (365 * 86400)} years"


def local_time(created: float) -> str:
    """`2026-01-31 12:00:00 +0100 CET`."""
    return datetime.fromtimestamp(created).astimezone().strftime("%Y-%m-%d %H:%M:%S %z %Z")


def shorten(text: str, width: int, whole: bool) -> str:
    return text if whole or len(text) <= width else text[: width - 1] + "…"


def short_id(identity: str, whole: bool) -> str:
    return identity if whole else identity.removeprefix("sha256:")[:12]
