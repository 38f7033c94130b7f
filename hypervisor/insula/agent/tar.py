"""A guest's file tree as a tar archive, as a stream: what `docker cp`, `export` and `commit` give out.

Pax format, as Docker writes: ustar headers, and an extended header where a value does not fit one. Holes
become zeros, or where they are large a sparse map (GNU's format 1.0, which Go and Python read), so that a
guest's terabyte of nothing stays small. Sockets are left out: a tar has no word for them. Names are the
guest's: whoever unpacks must not trust them, as with any archive. Reading a tar is image/tar_reader.py's
trade.
"""

from collections.abc import AsyncIterator, Callable

from insula.agent.tree import Entry, Kind, TreeReader

BLOCK = 512
HOLE_MIN = 1 << 20  # holes of less than this in a file are written out
ZEROS = bytes(65_536)

Change = Callable[[Entry], tuple[Entry, ...]]

_TYPES = {
    Kind.FILE: b"0",
    Kind.HARD_LINK: b"1",
    Kind.SYMBOLIC_LINK: b"2",
    Kind.CHARACTER_DEVICE: b"3",
    Kind.BLOCK_DEVICE: b"4",
    Kind.DIRECTORY: b"5",
    Kind.FIFO: b"6",
}
_END = bytes(2 * BLOCK)


def unchanged(entry: Entry) -> tuple[Entry, ...]:
    return (entry,)


async def tar_from_tree(
    source: AsyncIterator[bytes], root: bytes = b"", change: Change = unchanged
) -> AsyncIterator[bytes]:
    """The tree's bytes as a tar's. root: the name that the tree's root has in the archive; empty leaves the
    root itself out. change: what each entry becomes: the first has its content, the others none. Raises Internal
    on what is no tree."""
    tree = TreeReader(source)
    async for found in tree:
        for entry in change(found):
            async for piece in _member(tree, entry, root):
                yield piece
    yield _END


async def _member(tree: TreeReader, entry: Entry, root: bytes) -> AsyncIterator[bytes]:
    name = _below(root, entry.path)
    if entry.kind not in _TYPES or not name:
        return
    if entry.kind == Kind.DIRECTORY and not name.endswith(b"/"):
        name += b"/"
    link = _below(root, entry.link) if entry.kind == Kind.HARD_LINK else entry.link
    sparse = entry.size - entry.stored >= HOLE_MIN
    pax = _pax_of(entry)
    if sparse:
        pax |= {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.name": name}
        pax[b"GNU.sparse.realsize"] = b"%d" % entry.size
    shape = _sparse_map(entry) if sparse else b""
    size = len(shape) + entry.stored if sparse else entry.size
    yield _headers(entry, name, link, size, pax) + shape
    async for piece in tree.content() if sparse else _filled(tree, entry):
        yield piece
    if size % BLOCK:
        yield bytes(-size % BLOCK)


def _below(root: bytes, path: bytes) -> bytes:
    if root == b"/":
        return root + path
    return b"/".join(part for part in (root, path) if part)


async def _filled(tree: TreeReader, entry: Entry) -> AsyncIterator[bytes]:
    """The content with its holes as zeros."""
    content, held, at = tree.content(), b"", 0
    for offset, length in (*entry.extents, (entry.size, 0)):
        for _ in range((offset - at) // len(ZEROS)):
            yield ZEROS
        if rest := (offset - at) % len(ZEROS):
            yield bytes(rest)
        left = length
        while left:
            held = held or await anext(content)
            yield held[:left]
            left, held = max(0, left - len(held)), held[left:]
        at = offset + length


def _sparse_map(entry: Entry) -> bytes:
    """The extents as lines of decimals, padded; an empty one at the end says how long the file is."""
    pairs = (*entry.extents, (entry.size, 0))
    text = b"%d\n" % len(pairs) + b"".join(b"%d\n%d\n" % pair for pair in pairs)
    return text + bytes(-len(text) % BLOCK)


def _pax_of(entry: Entry) -> dict[bytes, bytes]:
    pax = {b"SCHILY.xattr." + name: value for name, value in entry.xattrs if name and b"=" not in name}
    if entry.mtime_seconds < 0 or entry.mtime_nanoseconds:
        pax[b"mtime"] = _time(entry)
    return pax


def _time(entry: Entry) -> bytes:
    """Seconds with a fraction; before 1970 the fraction counts backwards, as the value is one number."""
    nanoseconds = entry.mtime_seconds * 1_000_000_000 + entry.mtime_nanoseconds
    seconds, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    return b"%s%d.%09d" % (b"-" if nanoseconds < 0 else b"", seconds, fraction)


def _headers(entry: Entry, name: bytes, link: bytes, size: int, pax: dict[bytes, bytes]) -> bytes:
    """The entry's header, behind an extended one for what does not fit it."""
    short_name, short_link = _fit(pax, b"path", name), _fit(pax, b"linkpath", link)
    header = b"".join((
        short_name.ljust(100, b"\0"),
        _octal(pax, b"", entry.mode, 8), _octal(pax, b"uid", entry.uid, 8), _octal(pax, b"gid", entry.gid, 8),
        _octal(pax, b"size", size, 12), _octal(pax, b"mtime", max(0, entry.mtime_seconds), 12),
        b" " * 8, _TYPES[entry.kind], short_link.ljust(100, b"\0"), b"ustar\x0000", bytes(64),
        _octal(pax, b"SCHILY.devmajor", entry.major, 8), _octal(pax, b"SCHILY.devminor", entry.minor, 8),
        bytes(167),
    ))  # fmt: skip
    return _extended(pax) + _summed(header)


def _extended(pax: dict[bytes, bytes]) -> bytes:
    if not pax:
        return b""
    records = b"".join(_record(key, value) for key, value in pax.items())
    size: dict[bytes, bytes] = {}
    header = b"".join((
        b"PaxHeaders/entry".ljust(100, b"\0"), b"0000644\0", b"0000000\0" * 2,
        _octal(size, b"", len(records), 12), b"00000000000\0", b" " * 8, b"x", bytes(100), b"ustar\x0000",
        bytes(64), b"0000000\0" * 2, bytes(167),
    ))  # fmt: skip
    return _summed(header) + records + bytes(-len(records) % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    """A record says its own length, that number included."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(b"%d" % length):
        length = len(rest) + len(b"%d" % length)
    return b"%d" % length + rest


def _fit(pax: dict[bytes, bytes], key: bytes, name: bytes) -> bytes:
    if len(name) > 100 or not name.isascii():
        pax[key] = name
    return name[:100]


def _octal(pax: dict[bytes, bytes], key: bytes, value: int, width: int) -> bytes:
    if value >= 8 ** (width - 1):
        pax.setdefault(key, b"%d" % value)
        value = 0
    return b"%0*o\0" % (width - 1, value)


def _summed(header: bytes) -> bytes:
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]
