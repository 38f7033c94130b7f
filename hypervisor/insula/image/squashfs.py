"""A writer of squashfs 4.0 images, uncompressed, for trees that come from tar archives.

`sqfstar` does this too, but is quadratic in a directory's names, cannot let a later layer replace what an
earlier one wrote, and parses the tar a second time in C. This writer takes file data as it comes
(`FileData`), keeps only the tree in memory, and writes inodes and directories at the end. Holes and blocks of
zeros take no room. Nothing is compressed: guests without KVM would pay for it at each read.
Format: https://docs.kernel.org/filesystems/squashfs.html; the kernel checks that the tables abut as here.
"""

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from insula.errors import InvalidArgument

BLOCK_LOG = 17
BLOCK_SIZE = 1 << BLOCK_LOG
STORED = 1 << 24  # a data block's size with this bit is not compressed
METADATA = 8192
SUPERBLOCK, INODES_AT = 96, 64  # its size; where in it the beginning of the inodes is told
ABSENT = 0xFFFFFFFF
NO_TABLE = 0xFFFFFFFFFFFFFFFF
FLAGS = 0x0001 | 0x0002 | 0x0008 | 0x0010 | 0x0100 | 0x0800  # no compression of anything, no fragments
ZEROS = bytes(BLOCK_SIZE)
PREFIXES = {b"user.": 0, b"trusted.": 1, b"security.": 2}
TYPES = {"dir": 1, "file": 2, "symlink": 3, "block": 4, "char": 5, "fifo": 6}
UNUSED = {b"user.insula": b""}
"""Attributes that no file has: an image without a table of them refuses listxattr (EOPNOTSUPP), and
the kernel takes no empty table."""
EXTENDED = 7  # added to the type of an inode that has attributes


@dataclass(slots=True)
class Node:
    """One inode. Hard links are one node under several names."""

    kind: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    device: tuple[int, int] = (0, 0)
    target: bytes = b""
    size: int = 0
    start: int = 0
    blocks: bytes = b""
    sparse: int = 0
    xattrs: dict[bytes, bytes] | None = None
    children: dict[bytes, "Node"] = field(default_factory=dict)
    links: int = 0
    number: int = 0
    place: int = -1  # of the inode in the inode table, once written


class FileData:
    """Takes one file's content, in order, and puts it into the image."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.start = out.tell()
        self._blocks = array("I")
        self._buffer = bytearray()
        self._size = 0
        self._sparse = 0

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if not self._buffer and len(data) == BLOCK_SIZE:
            self._put(data)
            return
        self._buffer += data
        while len(self._buffer) >= BLOCK_SIZE:
            self._put(bytes(self._buffer[:BLOCK_SIZE]))
            del self._buffer[:BLOCK_SIZE]

    def hole(self, length: int) -> None:
        """`length` zeros. Whole blocks of them cost four bytes each."""
        head = min(length, -len(self._buffer) % BLOCK_SIZE)
        if head:
            self.write(bytes(head))
            length -= head
        whole, tail = divmod(length, BLOCK_SIZE)
        if whole:
            self._blocks.frombytes(bytes(4 * whole))
            self._sparse += whole * BLOCK_SIZE
            self._size += whole * BLOCK_SIZE
        if tail:
            self.write(bytes(tail))

    def finish(self, node: Node) -> None:
        """Ends the file; `node` then refers to its content."""
        if self._buffer:
            self._put(bytes(self._buffer))
        node.size, node.start, node.sparse = self._size, self.start, self._sparse
        node.blocks = self._blocks.tobytes()

    def _put(self, block: bytes) -> None:
        if block == (ZEROS if len(block) == BLOCK_SIZE else ZEROS[: len(block)]):
            self._blocks.append(0)
            self._sparse += len(block)
        else:
            self._out.write(block)
            self._blocks.append(len(block) | STORED)


class Metadata:
    """A table in metadata blocks of 8 KiB, none compressed, so that places are plain arithmetic."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, record: bytes) -> int:
        place = len(self.data)
        self.data += record
        return place

    def write(self, out: BinaryIO) -> list[int]:
        """Writes the table; gives the position of each block."""
        positions = []
        view = memoryview(self.data)
        for at in range(0, len(view), METADATA):
            block = view[at : at + METADATA]
            positions.append(out.tell())
            out.write(struct.pack("<H", len(block) | 0x8000))
            out.write(block)
        view.release()
        return positions


def block_of(place: int) -> tuple[int, int]:
    """A place as the format wants it: where its block begins, and the offset inside."""
    return place // METADATA * (METADATA + 2), place % METADATA


class Tables:
    """Inodes, directories, ids and attributes, as they are filled by the walk over the tree."""

    def __init__(self) -> None:
        self.inodes = Metadata()
        self.directories = Metadata()
        self.ids: dict[int, int] = {}
        self.xattrs = Metadata()
        self.xattr_ids: dict[tuple[tuple[bytes, bytes], ...], int] = {}
        self.xattr_records = Metadata()

    def id(self, number: int) -> int:
        index = self.ids.setdefault(number, len(self.ids))
        if index >= 1 << 16:
            raise InvalidArgument("an image's files belong to more than 65536 users and groups")
        return index

    def xattr_index(self, xattrs: dict[bytes, bytes] | None) -> int:
        if not xattrs:
            return ABSENT
        key = tuple(sorted(xattrs.items()))
        if (known := self.xattr_ids.get(key)) is not None:
            return known
        records = []
        for name, value in key:
            prefix = name[: name.index(b".") + 1]
            short = name[len(prefix) :]
            records.append(struct.pack("<HH", PREFIXES[prefix], len(short)) + short)
            records.append(struct.pack("<I", len(value)) + value)
        data = b"".join(records)
        block, offset = block_of(self.xattrs.add(data))
        self.xattr_records.add(struct.pack("<QII", block << 16 | offset, len(key), len(data)))
        self.xattr_ids[key] = len(self.xattr_ids)
        return self.xattr_ids[key]

    def put(self, node: Node, parent: int) -> None:
        """Writes a node's inode, unless another name of it was met. A directory's children come first."""
        if node.place >= 0:
            return
        xattr = self.xattr_index(node.xattrs)
        if node.kind == "dir":
            type_, body = self._directory(node, parent, xattr)
        elif node.kind == "file":
            type_, body = self._file(node, xattr)
        else:
            type_, body = self._special(node, xattr)
        head = (type_, node.mode, self.id(node.uid), self.id(node.gid), node.mtime, node.number)
        node.place = self.inodes.add(struct.pack("<HHHHII", *head) + body)

    def _directory(self, node: Node, parent: int, xattr: int) -> tuple[int, bytes]:
        listing = _listing(node.children)
        block, offset = block_of(self.directories.add(listing))
        links = 2 + sum(1 for child in node.children.values() if child.kind == "dir")
        size = len(listing) + 3
        if xattr == ABSENT and size < 1 << 16:
            return 1, struct.pack("<IIHHI", block, links, size, offset, parent)
        return 8, struct.pack("<IIIIHHI", links, size, block, parent, 0, offset, xattr)

    def _file(self, node: Node, xattr: int) -> tuple[int, bytes]:
        if xattr == ABSENT and node.links == 1 and max(node.start, node.size) < 1 << 32:
            return 2, struct.pack("<IIII", node.start, ABSENT, 0, node.size) + node.blocks
        sparse = min(node.sparse, max(0, node.size - 1))
        head = (node.start, node.size, sparse, node.links, ABSENT, 0, xattr)
        return 9, struct.pack("<QQQIIII", *head) + node.blocks

    def _special(self, node: Node, xattr: int) -> tuple[int, bytes]:
        body = struct.pack("<I", node.links)
        if node.kind == "symlink":
            body += struct.pack("<I", len(node.target)) + node.target
        elif node.kind in ("char", "block"):
            major, minor = node.device
            body += struct.pack("<I", minor & 0xFF | major << 8 | (minor & ~0xFF) << 12)
        type_ = TYPES[node.kind]
        return (type_, body) if xattr == ABSENT else (type_ + EXTENDED, body + struct.pack("<I", xattr))


def _listing(children: dict[bytes, Node]) -> bytes:
    """A directory's entries, sorted, in runs that share an inode block."""
    out: list[bytes] = []
    run: list[bytes] = []
    first_block = first_number = 0
    for name in sorted(children):
        child = children[name]
        block, offset = block_of(child.place)
        difference = child.number - first_number
        if run and (block != first_block or len(run) == 256 or not -32768 <= difference <= 32767):
            out.append(struct.pack("<III", len(run) - 1, first_block, first_number))
            out.extend(run)
            run = []
        if not run:
            first_block, first_number, difference = block, child.number, 0
        run.append(struct.pack("<HhHH", offset, difference, TYPES[child.kind], len(name) - 1) + name)
    if run:
        out.append(struct.pack("<III", len(run) - 1, first_block, first_number))
        out.extend(run)
    return b"".join(out)


def _sorted(node: Node) -> Iterator[Node]:
    return (node.children[name] for name in sorted(node.children))


def _walk(root: Node) -> Iterator[tuple[Node, Node]]:
    """(node, parent) with children before their directory; each name once, without recursion."""
    stack: list[tuple[Node, Node, Iterator[Node]]] = [(root, root, _sorted(root))]
    while stack:
        node, parent, rest = stack[-1]
        child = next(rest, None)
        if child is None:
            stack.pop()
            yield node, parent
        elif child.kind == "dir":
            stack.append((child, node, _sorted(child)))
        else:
            yield child, node


def start_image(out: BinaryIO) -> None:
    """Leaves room for the superblock: file data comes right after it."""
    out.write(bytes(SUPERBLOCK))


def data_size(image: BinaryIO) -> int:
    """The bytes of the files in an image of this module's making, but for holes and zeros: data lies between the
    superblock and the inodes."""
    image.seek(INODES_AT)
    (inodes,) = struct.unpack("<Q", image.read(8))
    return max(0, int(inodes) - SUPERBLOCK)


def finish_image(out: BinaryIO, root: Node) -> int:
    """Writes the tree behind the data, and the superblock; pads to 4 KiB. Gives the number of inodes."""
    count = 0
    for node, _ in _walk(root):
        node.links += 1
        if node.number == 0:
            count += 1
            node.number = count
    tables = Tables()
    tables.id(0)
    tables.xattr_index(UNUSED)
    for node, parent in _walk(root):
        tables.put(node, count + 1 if node is root else parent.number)
    starts = _write_tables(out, tables)
    end = out.tell()
    block, offset = block_of(root.place)
    head = struct.pack(
        "<IIIIIHHHHHHQQQQQQQQ", 0x73717368, count, 0, BLOCK_SIZE, 0, 1, BLOCK_LOG, FLAGS,
        len(tables.ids), 4, 0, block << 16 | offset, end, starts["id"], starts["xattr"],
        starts["inode"], starts["directory"], starts["fragment"], NO_TABLE,
    )  # fmt: skip
    out.write(bytes(-end % 4096))
    out.seek(0)
    out.write(head)
    out.flush()
    return count


def _write_tables(out: BinaryIO, tables: Tables) -> dict[str, int]:
    starts = {"inode": out.tell()}
    tables.inodes.write(out)
    starts["directory"] = out.tell()
    tables.directories.write(out)
    starts["fragment"] = out.tell()
    ids = Metadata()
    ids.add(struct.pack(f"<{len(tables.ids)}I", *tables.ids))
    positions = ids.write(out)
    starts["id"] = out.tell()
    out.write(struct.pack(f"<{len(positions)}Q", *positions))
    first = out.tell()
    tables.xattrs.write(out)
    positions = tables.xattr_records.write(out)
    starts["xattr"] = out.tell()
    out.write(struct.pack("<QII", first, len(tables.xattr_ids), 0))
    out.write(struct.pack(f"<{len(positions)}Q", *positions))
    return starts
