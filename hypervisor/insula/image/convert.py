"""The converter: layer tars in, one read-only disk out. Runs in a jail, as a process of its own.

Its request is one JSON argument: layers as file descriptors, where the disk goes, the limits and a mode:
`lowest` (a layer with nothing below it), `upper` (one that has), `merge` (several into one, from the lowest),
`digest` (no disk, only the layers' digests) or `unfold` (no disk, but what a compressed file unfolds to).
Answers with one JSON line on stdout: what each layer was, or the failure. Limits on memory, processor time
and output are set by whoever starts it.
"""

import errno
import json
import os
import sys
from typing import Any

from insula.errors import InsulaError
from insula.image.decompress import Uncompressed
from insula.image.layer import Limits, NeedsLower, Tree
from insula.image.squashfs import finish_image, start_image
from insula.image.unfold import unfold


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Does what a request says; gives the answer's fields. Raises what the parts raise."""
    limits = Limits(**request["limits"])
    mode = request["mode"]
    if mode == "unfold":
        return _unfold(request)
    answer: dict[str, Any] = {"layers": [], "needs_lower": False, "incomplete": False}
    tree = Tree(limits, lowest=mode != "upper", merged=mode == "merge")
    with open(request["out"], "wb", buffering=1 << 20, closefd=False) as out:
        if mode != "digest":
            start_image(out)
        for layer in request["layers"]:
            with open(layer["fd"], "rb", buffering=0, closefd=False) as file:
                stream = Uncompressed(file, layer["what"], limits.stream)
                if mode == "digest":
                    stream.drain()
                else:
                    tree.add_layer(stream, layer["what"], out)
            answer["layers"].append({"diff_id": stream.digest})
        if mode != "digest":
            finish_image(out, tree.root)
    answer["incomplete"] = tree.incomplete
    os.fsync(request["out"])
    return answer


def _unfold(request: dict[str, Any]) -> dict[str, Any]:
    (layer,) = request["layers"]
    with (
        open(layer["fd"], "rb", closefd=False) as file,
        open(request["out"], "wb", buffering=1 << 20, closefd=False) as out,
    ):
        unfold(file, out, layer["what"], tuple(request["place"]) if request["place"] else None)
    return {"layers": [], "needs_lower": False, "incomplete": False}


def main() -> None:
    """Reads the request from the command line, writes the answer to stdout."""
    try:
        answer = convert(json.loads(sys.argv[1]))
    except InsulaError as error:
        answer = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    except NeedsLower:
        answer = {"layers": [], "needs_lower": True, "incomplete": True}
    except MemoryError:
        answer = {
            "error": "InvalidArgument",
            "message": "a layer needs too much memory to convert",
            "hint": "",
        }
    except OSError as error:
        answer = {"error": "OSError", "errno": error.errno or errno.EIO, "message": str(error.strerror)}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
