"""What each entry of a log tells of its container, by `--log-opt` labels, env and their regular expressions, tag.

A regular expression comes from a client, and one that never ends would hold this process: it is tried in a child
of little memory and time. Refused: expressions that do not parse, templates with more than a name in braces.
"""

import json
import os
import re
import sys

from insula import process
from insula.container.log_entry import ATTRIBUTES_MAX, encode_attributes
from insula.container.record import Record
from insula.errors import InvalidArgument, Unavailable

REGEX_MAX = 1000
SECONDS = 5.0
FIELD = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
MATCH = """
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))
resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
asked = json.load(sys.stdin)
found = []
for text, names in asked:
    try:
        wanted = re.compile(text)
    except (re.error, OverflowError, RecursionError, MemoryError) as error:
        sys.exit(f"error parsing regexp: {error}: `{text}`")
    found.append([name for name in names if wanted.search(name)])
json.dump(found, sys.stdout)
"""


async def read_attributes(record: Record) -> dict[str, str]:
    """The attributes, by name. Raises InvalidArgument, Unavailable."""
    options = record.spec.log_options
    labels = record.settings.labels
    env = dict(entry.split("=", 1) for entry in record.settings.env if "=" in entry)
    found: dict[str, str] = {}
    searched: list[tuple[str, dict[str, str]]] = []
    for option, values in (("labels", labels), ("env", env)):
        names = (options.get(option) or "").split(",")
        found |= {name: values[name] for name in names if name in values}
        if text := options.get(f"{option}-regex"):
            searched.append((text, values))
    for names, (_, values) in zip(await _search(searched), searched, strict=True):
        found |= {name: values[name] for name in names}
    if template := options.get("tag"):
        found["tag"] = render_tag(template, record)
    if len(encode_attributes(found)) > ATTRIBUTES_MAX:
        raise InvalidArgument(f"the attributes of a log entry take more than {ATTRIBUTES_MAX >> 10} KiB")
    return found


async def _search(searched: list[tuple[str, dict[str, str]]]) -> list[list[str]]:
    """Which names each expression finds."""
    if not searched:
        return []
    if any(len(text) > REGEX_MAX for text, _ in searched):
        raise InvalidArgument(f"a regular expression for a log has more than {REGEX_MAX} characters")
    asked = json.dumps([(text, list(values)) for text, values in searched]).encode()
    argv = [sys.executable, "-I", "-S", "-c", MATCH]
    try:
        done = await process.run(argv, timeout=SECONDS, stdin=asked, check=False)
    except Unavailable as error:
        raise InvalidArgument("a regular expression for a log takes too long") from error
    if done.status == 0:
        names: list[list[str]] = json.loads(done.stdout)
        return names
    words = done.stderr.decode(errors="replace").strip().splitlines()
    if done.status == 1 and words and words[-1].startswith("error parsing regexp"):
        raise InvalidArgument(words[-1][:200])
    raise InvalidArgument("a regular expression for a log takes too long, or too much memory")


def render_tag(template: str, record: Record) -> str:
    """Docker's fields, without its functions. Raises InvalidArgument."""
    arguments = record.settings.arguments
    fields = {
        ".ID": record.id[:12],
        ".FullID": record.id,
        ".Name": record.name,
        ".ImageID": record.image_id.removeprefix("sha256:")[:12],
        ".ImageFullID": record.image_id,
        ".ImageName": record.spec.image,
        ".Command": " ".join(arguments),
        ".DaemonName": "insula",
        ".Hostname": os.uname().nodename,
    }

    def value(match: re.Match[str]) -> str:
        try:
            return fields[match[1]]
        except KeyError:
            raise InvalidArgument(
                f"invalid log opt tag: {{{{{match[1][:40]}}}}} is not known",
                f"use one of {', '.join(fields)}",
            ) from None

    text = FIELD.sub(value, template)
    if "{{" in FIELD.sub("", template):
        raise InvalidArgument(f"invalid log opt tag: unclosed action in {template[:80]!r}")
    return text
