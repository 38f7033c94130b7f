"""Progress of a pull or push: on a terminal a line for each layer, drawn over itself; else a line for each event."""

import os
from typing import Any, TextIO

from insula.cli.failure import ApiFailure
from insula.cli.table import clean, human_size

BAR = 30
WIDTH = 80


class Layers:
    """Shows the lines of a progress stream on `out`."""

    def __init__(self, out: TextIO, *, quiet: bool = False) -> None:
        self._out = out
        self._quiet = quiet
        self._rows: dict[str, int] = {}
        self._terminal = out.isatty()

    def show(self, line: dict[str, Any]) -> None:
        """Raises ApiFailure for a line that tells a failure."""
        if error := line.get("error"):
            raise ApiFailure(str(error), 500)
        if self._quiet or not line.get("status"):
            return
        subject, status = clean(line.get("id") or ""), clean(line["status"])
        detail = line.get("progressDetail") or {}
        current, total = int(detail.get("current") or 0), int(detail.get("total") or 0)
        text = f"{subject}: {status}" if subject else status
        if not self._terminal:
            if not total:
                self._out.write(text + "\n")
        elif subject:
            self._draw(subject, f"{text} {draw_bar(current, total)}" if total else text)
        else:
            self._rows.clear()
            self._out.write(text + "\n")
        self._out.flush()

    def _draw(self, subject: str, text: str) -> None:
        """In the row of its subject; the cursor stays below the last one."""
        if subject not in self._rows:
            self._rows[subject] = len(self._rows)
            self._out.write("\n")
        up = len(self._rows) - self._rows[subject]
        self._out.write(f"\x1b[{up}A\r\x1b[2K{text[: width(self._out) - 1]}\x1b[{up}B\r")


def draw_bar(current: int, total: int) -> str:
    done = min(BAR, BAR * current // total)
    return f"[{'=' * done:<{BAR}}] {human_size(current)}/{human_size(total)}"


def width(out: TextIO) -> int:
    try:
        return os.get_terminal_size(out.fileno()).columns or WIDTH
    except OSError:
        return WIDTH
