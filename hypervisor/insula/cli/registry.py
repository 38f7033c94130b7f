"""pull, push, search: images from registries and to them, with the user's own credentials."""

import sys
from typing import NamedTuple, TextIO

from insula.cli.client import Client, path
from insula.cli.docker_config import encode_auth, find_auth
from insula.cli.failure import UsageFailure
from insula.cli.flags import BOOL, MANY, NUMBER, TEXT, Flag
from insula.cli.layers import Layers
from insula.cli.table import View, print_rows, shorten
from insula.cli.verb import Call, Verb

AUTH = "X-Registry-Auth"
SEARCH = View(
    (("NAME", "Name"), ("DESCRIPTION", "Description"), ("STARS", "StarCount"), ("OFFICIAL", "IsOfficial")),
    {"IsAutomated": "AUTOMATED"},
)
DESCRIPTION_WIDTH = 45


class Name(NamedTuple):
    """An image's name in its parts; the daemon judges whether it is one. tag: or digest, or empty."""

    domain: str
    path: str
    tag: str

    @property
    def repository(self) -> str:
        return f"{self.domain}/{self.path}"

    def __str__(self) -> str:
        if not self.tag:
            return self.repository
        return f"{self.repository}{'@' if self.tag.startswith('sha256:') else ':'}{self.tag}"


def parse_name(text: str) -> Name:
    """`busybox`, `host:5000/a/b:tag`, `name@sha256:…`; without a registry it is the Hub."""
    rest, _, digest = text.partition("@")
    first, slash, _ = rest.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    domain, rest = (first, rest[len(first) + 1 :]) if named else ("docker.io", rest)
    repository, colon, tag = rest.rpartition(":")
    repository, tag = (repository, tag) if colon else (rest, "")
    if domain in ("docker.io", "index.docker.io"):
        domain = "docker.io"
        repository = repository if "/" in repository else f"library/{repository}"
    return Name(domain, repository, digest or tag)


class PullRequest(NamedTuple):
    """What to pull. platforms: or the daemon's own; whole: all of them; every: all tags."""

    name: Name
    platforms: list[str]
    whole: bool = False
    every: bool = False


def pull_image(client: Client, wanted: PullRequest, out: TextIO, *, quiet: bool = False) -> None:
    """Shows the progress on `out`. Raises Failure."""
    name = wanted.name
    query = {
        "fromImage": name.repository, "tag": None if wanted.every else name.tag or "latest",
        "platform": wanted.platforms, "all-platforms": wanted.whole,
    }  # fmt: skip
    headers = {AUTH: encode_auth(find_auth(name.domain))}
    layers = Layers(out, quiet=quiet)
    with client.begin("/images/create", query, headers, f"looking for {name}") as answer:
        for line in answer.objects():
            layers.show(line)


def pull(call: Call) -> int:
    options = call.options
    name = parse_name(options.arguments[0])
    every, whole, quiet = (options.flag(flag) for flag in ("all-tags", "all-platforms", "quiet"))
    if every and name.tag:
        raise UsageFailure("tag can't be used with --all-tags/-a")
    if whole and options.given("platform"):
        raise UsageFailure("conflicting options: --platform and --all-platforms")
    if not name.tag and not every:
        name = name._replace(tag="latest")
        if not quiet:
            print("Using default tag: latest", flush=True)
    wanted = PullRequest(name, options.texts("platform"), whole, every)
    pull_image(call.client, wanted, sys.stdout, quiet=quiet)
    print(name)
    return 0


def push(call: Call) -> int:
    options = call.options
    name, every, quiet = parse_name(options.arguments[0]), options.flag("all-tags"), options.flag("quiet")
    if every and name.tag:
        raise UsageFailure("tag can't be used with --all-tags/-a")
    if not name.tag and not every:
        name = name._replace(tag="latest")
        if not quiet:
            print("Using default tag: latest", flush=True)
    query = {"tag": name.tag or None, "platform": options.text("platform") or None}
    headers = {AUTH: encode_auth(find_auth(name.domain))}
    layers = Layers(sys.stdout, quiet=quiet)
    where = path("images", name.repository, "push")
    with call.client.begin(where, query, headers, f"reaching {name.domain}") as answer:
        for line in answer.objects():
            layers.show(line)
    if quiet:
        print(name)
    return 0


def search(call: Call) -> int:
    options = call.options
    term = options.arguments[0]
    filters: dict[str, list[str]] = {}
    for text in options.texts("filter"):
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageFailure(f"invalid argument {text[:80]!r} for --filter: KEY=VALUE")
        filters.setdefault(key, []).append(value)
    import json

    query = {
        "term": term,
        "limit": options.number("limit"),
        "filters": json.dumps(filters) if filters else None,
    }
    first = term.partition("/")[0]
    domain = first if "/" in term and ("." in first or ":" in first or first == "localhost") else "docker.io"
    headers = {AUTH: encode_auth(find_auth(domain))}
    with call.client.begin("/images/search", query, headers, "searching", method="GET") as answer:
        found = answer.document()
    rows = [
        {
            "Name": result["name"],
            "Description": shorten(
                " ".join(result["description"].split()), DESCRIPTION_WIDTH, options.flag("no-trunc")
            ),
            "StarCount": result["star_count"],
            "IsOfficial": "[OK]" if result["is_official"] else "",
            "IsAutomated": "[OK]" if result["is_automated"] else "",
        }
        for result in found
    ]
    print_rows(rows, SEARCH, options.text("format"))
    return 0


QUIET = Flag("quiet", "q", BOOL, "Say only the image's name")
VERBS = {
    "pull": Verb("[OPTIONS] NAME[:TAG|@DIGEST]", "Fetch an image from a registry", pull, (
        Flag("all-platforms", "", BOOL, "The images of all platforms, and what lies beside them"),
        Flag("all-tags", "a", BOOL, "All tags of the repository"),
        Flag("platform", "", MANY, "The image of this platform (may be repeated)"),
        QUIET,
    ), least=1, most=1),
    "push": Verb("[OPTIONS] NAME[:TAG]", "Send an image to a registry", push, (
        Flag("all-tags", "a", BOOL, "All tags of the repository"),
        Flag("platform", "", TEXT, "Only the image of this platform"),
        QUIET,
    ), least=1, most=1),
    "search": Verb("[OPTIONS] TERM", "Search a registry for images", search, (
        Flag("filter", "f", MANY, "Only those that match (is-official=true, stars=3)"),
        Flag("format", "", TEXT, "'table', 'table TEMPLATE', 'json', or a template for each"),
        Flag("limit", "", NUMBER, "At most so many (25)"),
        Flag("no-trunc", "", BOOL, "Whole descriptions"),
    ), least=1, most=1),
}  # fmt: skip
