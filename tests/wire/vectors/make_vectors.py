"""Makes the golden vectors, from docs/protocol.md alone.

Written without either end's code on purpose: it is the third opinion. `python make_vectors.py DIRECTORY`
writes the files; a test runs it into a temporary directory and compares with those in the tree.
"""

import json
import struct
import sys
import zlib
from pathlib import Path

MAGIC = 0x4C534E49


def u8(n):
    return struct.pack("<B", n)


def u16(n):
    return struct.pack("<H", n)


def u32(n):
    return struct.pack("<I", n)


def i32(n):
    return struct.pack("<i", n)


def u64(n):
    return struct.pack("<Q", n)


def i64(n):
    return struct.pack("<q", n)


def string(text):
    data = text.encode() if isinstance(text, str) else text
    return u32(len(data)) + data


def blob(hexes):
    return string(bytes.fromhex(hexes))


def listing(items, encode):
    return u32(len(items)) + b"".join(encode(item) for item in items)


def frame(epoch, kind, payload, magic=MAGIC, reserved=0, length=None):
    length = len(payload) if length is None else length
    bare = struct.pack("<IIIHHI", magic, length, epoch, kind, reserved, 0)
    return bare[:16] + u32(zlib.crc32(payload, zlib.crc32(bare))) + payload


def process(p):
    return (
        u32(p["process"]) + u32(p["flags"]) + u16(p["rows"]) + u16(p["columns"])
        + listing(p["arguments"], string) + listing(p["environment"], string)
        + string(p["directory"]) + string(p["user"]) + listing(p["groups"], string)
        + u64(p["bounding"]) + u64(p["effective"]) + u64(p["permitted"]) + u64(p["inheritable"])
        + u64(p["ambient"])
        + listing(p["rlimits"], lambda r: u8(r["resource"]) + u64(r["soft"]) + u64(r["hard"]))
        + blob(p["seccomp"]) + i32(p["oom_score_adj"]) + u32(p["umask"])
    )  # fmt: skip


def mount(m):
    return u8(m["kind"]) + string(m["source"]) + string(m["target"]) + u64(m["flags"]) + string(m["data"])


def link(k):
    return (
        u8(k["nic"]) + string(k["name"]) + bytes.fromhex(k["mac"]) + u32(k["mtu"])
        + listing(k["addresses"], lambda a: u8(a["family"]) + bytes.fromhex(a["address"]) + u8(a["prefix"]))
        + listing(
            k["routes"],
            lambda r: u8(r["family"]) + bytes.fromhex(r["destination"]) + u8(r["prefix"])
            + bytes.fromhex(r["gateway"]),
        )
    )  # fmt: skip


def limits(m):
    return (
        u64(m["memory"]) + u64(m["memory_low"]) + u64(m["cpu_quota"]) + u64(m["cpu_period"])
        + u32(m["cpu_weight"]) + string(m["cpuset_cpus"]) + string(m["cpuset_mems"]) + u64(m["pids"])
        + u32(m["io_weight"])
        + listing(m["io"], lambda i: u64(i["read_bps"]) + u64(i["write_bps"]) + u64(i["read_iops"]) + u64(i["write_iops"]))
    )  # fmt: skip


def boot(b):
    return (
        u32(b["boot_number"]) + u64(b["clock"]) + blob(b["entropy"])
        + string(b["hostname"]) + string(b["domainname"]) + u8(b["root"]) + listing(b["layers"], u8)
        + u8(b["writable"]["kind"]) + u8(b["writable"]["index"]) + u32(b["flags"])
        + listing(b["mounts"], mount) + listing(b["masked"], string) + listing(b["readonly"], string)
        + listing(b["files"], lambda f: string(f["path"]) + u32(f["mode"]) + blob(f["content"]))
        + listing(b["links"], link)
        + listing(b["sysctls"], lambda s: string(s["path"]) + string(s["value"]))
        + limits(b["limits"]) + u64(b["shm"]) + process(b["main"]) + blob(b["reserved"])
    )  # fmt: skip


def plain_process(number, *arguments, **changes):
    every = 0x1FFFFFFFFFF
    fields = {
        "process": number, "flags": 0, "rows": 0, "columns": 0, "arguments": list(arguments),
        "environment": ["PATH=/usr/bin:/bin"], "directory": "/", "user": "", "groups": [],
        "bounding": every, "effective": every, "permitted": every, "inheritable": 0, "ambient": 0,
        "rlimits": [], "seccomp": "", "oom_score_adj": 0, "umask": 0o022,
    }  # fmt: skip
    return fields | changes


def plain_limits(**changes):
    fields = {
        "memory": 0, "memory_low": 0, "cpu_quota": 0, "cpu_period": 0, "cpu_weight": 0, "cpuset_cpus": "",
        "cpuset_mems": "", "pids": 0, "io_weight": 0, "io": [],
    }  # fmt: skip
    return fields | changes


def plain_boot(number, main, **changes):
    fields = {
        "boot_number": number, "clock": 0, "entropy": "", "hostname": "", "domainname": "", "root": 0,
        "layers": [], "writable": {"kind": 0, "index": 0}, "flags": 0, "mounts": [], "masked": [],
        "readonly": [], "files": [], "links": [], "sysctls": [], "limits": plain_limits(),
        "shm": 0, "main": main, "reserved": "",
    }  # fmt: skip
    return fields | changes


def full_process():
    docker = 0xA80425FB
    return plain_process(
        7, "sh", "-c", "echo grüß", "", flags=1 | 2 | 4, rows=24, columns=80,
        environment=["PATH=/bin", "TERM=xterm", "EMPTY="], directory="/srv/app", user="nobody:nogroup",
        groups=["audio", "1234"], bounding=docker, effective=docker, permitted=docker, inheritable=1 << 10,
        ambient=1 << 12, rlimits=[{"resource": 7, "soft": 1024, "hard": 2**64 - 1}],
        seccomp="06000000" + "0000ff7f", oom_score_adj=-500, umask=0o027,
    )  # fmt: skip


def full_limits():
    return plain_limits(
        memory=256 << 20, memory_low=64 << 20, cpu_quota=50_000, cpu_period=100_000, cpu_weight=39,
        cpuset_cpus="0-1,3", cpuset_mems="0", pids=512, io_weight=10_000,
        io=[{"read_bps": 1 << 20, "write_bps": 2**40, "read_iops": 100, "write_iops": 7},
            {"read_bps": 0, "write_bps": 1 << 20, "read_iops": 0, "write_iops": 0}],
    )  # fmt: skip


def full_boot():
    return plain_boot(
        0xC0FFEE01, full_process(), clock=1_700_000_000_123_456_789, entropy="00ff" * 32,
        hostname="a1b2c3", domainname="example.test", root=1, layers=[0, 1, 2],
        writable={"kind": 1, "index": 9}, flags=1 | 4 | 8,
        mounts=[
            {"kind": 1, "source": "tmpfs", "target": "/run", "flags": 2 | 4 | 8, "data": "size=65536k,mode=755"},
            {"kind": 2, "source": "share0", "target": "/data", "flags": 1, "data": ""},
            {"kind": 3, "source": "/data/sub", "target": "/mnt", "flags": 4096, "data": ""},
            {"kind": 4, "source": "", "target": "/run/s", "flags": 0o660 | 33 << 16 | 44 << 32, "data": ""},
            {"kind": 5, "source": "block0", "target": "/db", "flags": 1 | 1024 << 32, "data": ""},
        ],
        masked=["/proc/kcore", "/sys/firmware"], readonly=["/proc/sys"],
        files=[{"path": "/etc/hostname", "mode": 0o644, "content": b"a1b2c3\n".hex()},
               {"path": "/etc/resolv.conf", "mode": 0o600, "content": ""}],
        links=[{
            "nic": 0, "name": "eth0", "mac": "0242ac110002", "mtu": 1500,
            "addresses": [{"family": 4, "address": "ac110002" + "00" * 12, "prefix": 16},
                          {"family": 6, "address": "fd00" + "00" * 13 + "02", "prefix": 64}],
            "routes": [{"family": 4, "destination": "00" * 16, "prefix": 0, "gateway": "ac110001" + "00" * 12}],
        }],
        sysctls=[{"path": "net/ipv4/ip_unprivileged_port_start", "value": "0"}],
        limits=full_limits(), shm=64 << 20,
    )  # fmt: skip


DOCUMENTS = [
    ("smallest process", "process", plain_process(1, "true")),
    ("full process", "process", full_process()),
    ("no arguments", "process", plain_process(2, environment=[])),
    ("smallest boot", "boot", plain_boot(1, plain_process(1, "true"))),
    ("full boot", "boot", full_boot()),
    (
        "boot of files",
        "boot",
        plain_boot(
            2, plain_process(1, "files"), root=1, layers=[0, 1], writable={"kind": 1, "index": 0}, flags=16
        ),
    ),
    ("no limits", "limits", plain_limits()),
    ("full limits", "limits", full_limits()),
    ("full link", "link", full_boot()["links"][0]),
]
ENCODERS = {"boot": boot, "process": process, "limits": limits, "link": link}


def document(name):
    for known, kind, fields in DOCUMENTS:
        if known == name:
            return ENCODERS[kind](fields)
    raise KeyError(name)


def record(p):
    return (
        u32(p["process"]) + u8(p["ended"]) + u8(p["flags"]) + u64(p["input_taken"]) + u64(p["input_limit"])
        + u64(p["stdout_acknowledged"]) + u64(p["stdout_end"]) + u64(p["stderr_acknowledged"])
        + u64(p["stderr_end"])
    )  # fmt: skip


MEMORY = [
    "current", "limit", "peak", "anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped",
    "file_dirty", "file_writeback", "inactive_anon", "active_anon", "inactive_file", "active_file",
    "unevictable", "pgfault", "pgmajfault", "oom_kills", "guest_total", "guest_available",
]  # fmt: skip
CPU = ["usage_ns", "user_ns", "system_ns", "throttled_ns", "periods", "throttled"]
TRAFFIC = [
    "rx_bytes",
    "rx_packets",
    "rx_errors",
    "rx_dropped",
    "tx_bytes",
    "tx_packets",
    "tx_errors",
    "tx_dropped",
]


def numbers(names, m):
    assert list(m) == names
    return b"".join(u64(m[name]) for name in names)


def device(d):
    return (
        u32(d["major"]) + u32(d["minor"]) + u64(d["read_bytes"]) + u64(d["write_bytes"])
        + u64(d["read_operations"]) + u64(d["write_operations"])
    )  # fmt: skip


def traffic(t):
    return string(t["name"]) + numbers(TRAFFIC, {name: t[name] for name in TRAFFIC})


def row(p):
    return (
        u32(p["id"]) + u32(p["parent"]) + u32(p["pid"]) + u32(p["group"]) + u32(p["session"]) + u32(p["uid"])
        + u32(p["gid"]) + u8(ord(p["state"])) + u8(p["flags"]) + u32(p["terminal"]) + i32(p["nice"])
        + u32(p["threads"]) + u64(p["start_ns"]) + u64(p["user_ns"]) + u64(p["system_ns"])
        + u64(p["virtual_bytes"]) + u64(p["resident_bytes"]) + blob(p["name"]) + blob(p["command"])
    )  # fmt: skip


PLAIN = {"process": u32, "offset": u64, "limit": u64, "request": u32, "stream": u8, "signal": u32,
         "rows": u16, "columns": u16, "stdout": u64, "stderr": u64, "clock": u64, "entropy": blob, "path": string, "owner": string,
         "flags": u32, "version": u16, "state": u8, "boot_number": u32, "step": u16, "errno": i32,
         "detail": string, "data": bytes.fromhex, "kind": u8, "value": u32, "count": u64,
         "document": document, "processes": lambda items: listing(items, record),
         "limits": limits, "link": link, "nic": u8, "start": u32, "next": u32, "mount": u32, "uptime": u64, "memory": lambda m: numbers(MEMORY, m),
         "cpu": lambda m: numbers(CPU, m), "guest": lambda g: u32(g["cpus"]) + u64(g["total_ns"]),
         "pids": lambda p: u64(p["current"]) + u64(p["limit"]), "devices": lambda items: listing(items, device),
         "links": lambda items: listing(items, traffic), "table": lambda items: listing(items, row)}  # fmt: skip


def payload(message, fields):
    special = {"EXIT": {"flags": u8}}.get(message, {})
    return b"".join((special.get(key) or PLAIN[key])(value) for key, value in fields.items())


ENDED = {"process": 2, "ended": 1, "flags": 1, "input_taken": 5, "input_limit": 65541, "stdout_acknowledged": 3,
         "stdout_end": 2**40, "stderr_acknowledged": 0, "stderr_end": 0}  # fmt: skip
RUNS = dict(ENDED, process=1, ended=0, flags=0)


def full_usage():
    return {
        "request": 12, "clock": 1_700_000_000_000_000_003, "uptime": 5_000_000_000,
        "memory": {name: 2**40 + at for at, name in enumerate(MEMORY)},
        "cpu": {name: 10**9 + at for at, name in enumerate(CPU)}, "guest": {"cpus": 2, "total_ns": 10**10},
        "pids": {"current": 3, "limit": 0},
        "devices": [{"major": 254, "minor": 16, "read_bytes": 2**33, "write_bytes": 4096, "read_operations": 9,
                     "write_operations": 1}],
        "links": [{"name": "lo"} | {name: at for at, name in enumerate(TRAFFIC)},
                  {"name": "abcdefghijklmno"} | {name: 2**63 + at for at, name in enumerate(TRAFFIC)}],
    }  # fmt: skip


def full_rows():
    shell = {
        "id": 201, "parent": 1, "pid": 1, "group": 1, "session": 1, "uid": 0, "gid": 0, "state": "S", "flags": 3,
        "terminal": 136 << 8 | 1, "nice": -20, "threads": 1, "start_ns": 4_000_000_000, "user_ns": 10_000_000,
        "system_ns": 20_000_000, "virtual_bytes": 2**40, "resident_bytes": 4096, "name": b"s\xff h".hex(),
        "command": b"/bin/sh\0-c\0\0".hex(),
    }  # fmt: skip
    zombie = shell | {"id": 299, "parent": 201, "pid": 2, "state": "Z", "flags": 0, "terminal": 0, "nice": 19,
                      "uid": 2**32 - 2, "command": ""}  # fmt: skip
    return [shell, zombie]


HOST = [
    ("hello", 1, "HELLO", {"version": 2}),
    ("boot", 2, "BOOT", {"request": 1, "document": "full boot"}),
    ("spawn", 3, "SPAWN", {"request": 2, "document": "full process"}),
    ("input", 4, "INPUT", {"process": 1, "offset": 2**33 + 1, "data": b"hello\n".hex()}),
    ("empty input", 4, "INPUT", {"process": 1, "offset": 0, "data": ""}),
    ("input end", 5, "INPUT_END", {"process": 1, "offset": 6}),
    ("ack", 6, "ACK", {"process": 1, "stream": 2, "offset": 65536}),
    ("resume", 7, "RESUME", {"process": 1, "stdout": 10, "stderr": 2**63}),
    ("signal", 8, "SIGNAL", {"request": 0xFFFFFFFF, "process": 0, "signal": 9}),
    ("resize", 9, "RESIZE", {"process": 3, "rows": 50, "columns": 132}),
    ("release", 10, "RELEASE", {"process": 3}),
    ("freeze", 11, "FREEZE", {"request": 3}),
    ("thaw", 12, "THAW", {"request": 4}),
    ("sync", 13, "SYNC", {"request": 5}),
    ("stop", 14, "STOP", {"request": 6}),
    (
        "identity",
        15,
        "IDENTITY",
        {"request": 7, "clock": 1_700_000_000_000_000_001, "entropy": "0123456789abcdef"},
    ),
    ("tree read", 16, "TREE_READ", {"request": 8, "process": 9, "path": "/etc", "flags": 1 | 16}),
    ("tree read of all", 16, "TREE_READ", {"request": 8, "process": 9, "path": "", "flags": 0x1FF}),
    ("tree write", 17, "TREE_WRITE", {"request": 9, "process": 10, "path": "/srv/ü", "flags": 8}),
    (
        "tree write for an owner",
        17,
        "TREE_WRITE",
        {"request": 9, "process": 10, "path": "/srv", "flags": 2 | 4, "owner": "nobody:audio"},
    ),
    ("power off", 18, "POWER_OFF", {}),
    ("update", 19, "UPDATE", {"request": 10, "limits": full_limits()}),
    ("update to no limits", 19, "UPDATE", {"request": 11, "limits": plain_limits()}),
    ("usage", 20, "USAGE", {"request": 12}),
    ("processes", 21, "PROCESSES", {"request": 13, "start": 1}),
    ("link", 22, "LINK", {"request": 14, "link": full_boot()["links"][0]}),
    ("unlink", 23, "UNLINK", {"request": 15, "nic": 3}),
]
AGENT = [
    ("welcome idle", 65, "WELCOME", {"version": 2, "state": 0, "boot_number": 0, "processes": []}),
    (
        "welcome booted",
        65,
        "WELCOME",
        {"version": 2, "state": 1, "boot_number": 77, "processes": [RUNS, ENDED]},
    ),
    ("reply done", 66, "REPLY", {"request": 1, "step": 0, "errno": 0, "detail": ""}),
    ("reply failed", 66, "REPLY", {"request": 2, "step": 15, "errno": 2, "detail": "no-such-program"}),
    ("output", 67, "OUTPUT", {"process": 1, "stream": 1, "offset": 2**32, "data": "00ff0a"}),
    ("output end", 68, "OUTPUT_END", {"process": 1, "stream": 2, "offset": 2**32 + 3}),
    ("credit", 69, "CREDIT", {"process": 1, "limit": 65536}),
    (
        "exit",
        70,
        "EXIT",
        {"process": 1, "kind": 0, "value": 127, "flags": 0, "clock": 1_700_000_000_000_000_002},
    ),
    ("killed", 70, "EXIT", {"process": 2, "kind": 1, "value": 9, "flags": 3, "clock": 0}),
    ("oom", 71, "OOM", {"count": 3}),
    ("connection", 74, "CONNECTION", {"process": 3 * 2**30, "mount": 2}),
    ("usage answer", 72, "USAGE_ANSWER", full_usage()),
    ("empty usage answer", 72, "USAGE_ANSWER", full_usage() | {"devices": [], "links": []}),
    (
        "processes answer",
        73,
        "PROCESSES_ANSWER",
        {
            "request": 13,
            "clock": 1_700_000_000_000_000_003,
            "uptime": 5_000_000_000,
            "next": 300,
            "table": full_rows(),
        },
    ),
    (
        "last processes answer",
        73,
        "PROCESSES_ANSWER",
        {"request": 14, "clock": 1, "uptime": 2, "next": 0, "table": []},
    ),
]


def frames():
    for direction, rows in (("host", HOST), ("agent", AGENT)):
        for name, kind, message, fields in rows:
            body, epoch = payload(message, fields), 0x89ABCDEF
            yield {"name": name, "direction": direction, "type": kind, "message": message, "epoch": epoch,
                   "fields": fields, "payload": body.hex(), "frame": frame(epoch, kind, body).hex()}  # fmt: skip


def bad_frames():
    good = u32(1)
    flipped = bytearray(frame(5, 11, good))
    flipped[-1] ^= 1
    return [
        {"name": "magic", "frame": frame(5, 11, good, magic=MAGIC ^ 0x100).hex()},
        {"name": "reserved", "frame": frame(5, 11, good, reserved=1).hex()},
        {"name": "checksum", "frame": flipped.hex()},
        {"name": "length over the limit", "frame": frame(5, 11, good, length=262_145).hex()},
        {"name": "length of four gigabytes", "frame": frame(5, 11, good, length=2**32 - 1).hex()},
    ]


def streams():
    one, two = frame(5, 11, u32(1)), frame(5, 12, u32(2))
    yields = [
        {"type": 11, "epoch": 5, "payload": u32(1).hex()},
        {"type": 12, "epoch": 5, "payload": u32(2).hex()},
    ]
    bad = [bytes.fromhex(b["frame"]) for b in bad_frames()[:4]]
    nested = bytearray(frame(5, 4, one))
    nested[16] ^= 1  # a broken frame whose payload is a whole good one
    return [
        {"name": "two in a row", "stream": (one + two).hex(), "frames": yields},
        {"name": "rubbish before and between", "stream": (b"rubbish" + one + b"INSINSLINS" + two).hex(), "frames": yields},
        {"name": "cut frame, then whole ones", "stream": (one[:19] + one + two[:22] + two).hex(), "frames": yields},
        {"name": "bad frames between", "stream": (bad[0] + one + bad[1] + bad[2] + bad[3] + two).hex(), "frames": yields},
        {"name": "good frame inside a broken one", "stream": (bytes(nested) + two).hex(), "frames": yields},
        {"name": "unknown type", "stream": frame(5, 999, b"x").hex(),
         "frames": [{"type": 999, "epoch": 5, "payload": b"x".hex()}]},
    ]  # fmt: skip


def bad_documents():
    good, whole = process(plain_process(1, "true")), boot(plain_boot(1, plain_process(1, "true")))
    at = len(u32(1) + u32(0) + u16(0) + u16(0))
    rows = [
        ("empty", "process", b""),
        ("cut by one", "process", good[:-1]),
        ("one byte too many", "process", good + b"\0"),
        ("process number 0", "process", process(plain_process(0, "true"))),
        ("count beyond the end", "process", good[:at] + u32(2**32 - 1) + good[at + 4 :]),
        ("string beyond the end", "process", good[: at + 4] + u32(2**31) + good[at + 8 :]),
        ("NUL in an argument", "process", process(plain_process(1, "tr\0ue"))),
        ("1025 arguments", "process", process(plain_process(1, *["a"] * 1025))),
        ("4097 environment entries", "process", process(plain_process(1, "a", environment=["a=b"] * 4097))),
        ("directory of 4096 bytes", "process", process(plain_process(1, "a", directory="/" + "d" * 4095))),
        ("user of 257 bytes", "process", process(plain_process(1, "a", user="u" * 257))),
        ("seccomp of 65544 bytes", "process", process(plain_process(1, "a", seccomp="00" * 65544))),
        ("seccomp of half an instruction", "process", process(plain_process(1, "a", seccomp="00" * 12))),
        ("empty boot", "boot", b""),
        ("boot cut by one", "boot", whole[:-1]),
        ("boot number 0", "boot", boot(plain_boot(0, plain_process(1, "true")))),
        ("boot with one byte too many", "boot", whole + b"\0"),
        ("17 layers", "boot", boot(plain_boot(1, plain_process(1, "true"), layers=list(range(17))))),
        ("entropy of 513 bytes", "boot", boot(plain_boot(1, plain_process(1, "true"), entropy="00" * 513))),
        ("hostname of 65 bytes", "boot", boot(plain_boot(1, plain_process(1, "true"), hostname="h" * 65))),
        ("reserved of 4097 bytes", "boot", boot(plain_boot(1, plain_process(1, "true"), reserved="00" * 4097))),
        ("empty limits", "limits", b""),
        ("limits cut by one", "limits", limits(full_limits())[:-1]),
        ("limits with one byte too many", "limits", limits(full_limits()) + b"\0"),
        ("cpuset of 257 bytes", "limits", limits(plain_limits(cpuset_cpus="0," * 128 + "0"))),
        ("NUL in a cpuset", "limits", limits(plain_limits(cpuset_mems="0\0"))),
        ("empty link", "link", b""),
        ("link cut by one", "link", link(full_boot()["links"][0])[:-1]),
        ("link with one byte too many", "link", link(full_boot()["links"][0]) + b"\0"),
        ("link with a name of 16 bytes", "link", link(full_boot()["links"][0] | {"name": "a" * 16})),
        ("17 limits of the disks", "limits", limits(plain_limits(io=full_limits()["io"][:1] * 17))),
        ("boot with 17 limits of the disks", "boot",
         boot(plain_boot(1, plain_process(1, "a"), limits=plain_limits(io=full_limits()["io"][:1] * 17)))),
        ("root kind 2", "boot", boot(plain_boot(1, plain_process(1, "true"), root=2))),
        ("writable kind 2", "boot", boot(plain_boot(1, plain_process(1, "a"), writable={"kind": 2, "index": 0}))),
        ("mount kind 255", "boot", boot(plain_boot(1, plain_process(1, "a"), mounts=[
            {"kind": 255, "source": "", "target": "/m", "flags": 0, "data": ""}]))),
        ("file of 65537 bytes", "boot", boot(plain_boot(1, plain_process(1, "a"), files=[
            {"path": "/f", "mode": 0o644, "content": "00" * 65537}]))),
        ("link name of 16 bytes", "boot", boot(plain_boot(1, plain_process(1, "a"), links=[
            {"nic": 0, "name": "n" * 16, "mac": "00" * 6, "mtu": 1500, "addresses": [], "routes": []}]))),
        ("address family 5", "boot", boot(plain_boot(1, plain_process(1, "a"), links=[
            {"nic": 0, "name": "n", "mac": "00" * 6, "mtu": 1500, "routes": [],
             "addresses": [{"family": 5, "address": "00" * 16, "prefix": 0}]}]))),
    ]  # fmt: skip
    return [{"name": name, "kind": kind, "payload": data.hex()} for name, kind, data in rows]


def entry(e):
    body = (
        u8(e["kind"]) + u32(e["mode"]) + u32(e["uid"]) + u32(e["gid"]) + i64(e["mtime_seconds"])
        + u32(e["mtime_nanoseconds"]) + u32(e["major"]) + u32(e["minor"]) + u64(e["size"])
        + string(e["path"]) + string(e["link"])
        + listing(e["xattrs"], lambda x: string(x["name"]) + blob(x["value"]))
        + listing(e["extents"], lambda x: u64(x["offset"]) + u64(x["length"]))
    )  # fmt: skip
    return u32(len(body)) + body


def plain_entry(kind, path, **changes):
    fields = {"kind": kind, "mode": 0o755, "uid": 0, "gid": 0, "mtime_seconds": 0, "mtime_nanoseconds": 0,
              "major": 0, "minor": 0, "size": 0, "path": path, "link": "", "xattrs": [], "extents": []}  # fmt: skip
    return fields | changes


def trees():
    rows = [
        ("root", plain_entry(1, ""), ""),
        ("directory", plain_entry(1, "d", mode=0o1777, uid=1000, gid=2**32 - 2, mtime_seconds=-1,
                                  mtime_nanoseconds=999_999_999), ""),
        ("file", plain_entry(2, "d/f", mode=0o4755, size=5, xattrs=[{"name": "user.a", "value": "00ff"}],
                             extents=[{"offset": 0, "length": 5}]), b"hello".hex()),
        ("sparse file", plain_entry(2, "d/s", mode=0o644, size=2**40, extents=[
            {"offset": 4096, "length": 2}, {"offset": 2**39, "length": 1}]), b"abc".hex()),
        ("all hole", plain_entry(2, "d/h", mode=0o600, size=1 << 20), ""),
        ("symbolic link", plain_entry(3, "d/l", mode=0o777, link="../nowhere"), ""),
        ("hard link", plain_entry(4, "d/f2", link="d/f"), ""),
        ("character device", plain_entry(5, "null", mode=0o666, major=1, minor=3), ""),
        ("block device", plain_entry(6, "sda", mode=0o660, major=8, minor=2**20 - 1), ""),
        ("fifo", plain_entry(7, "p", mode=0o600), ""),
        ("socket", plain_entry(8, "s", mode=0o600), ""),
        ("end", plain_entry(0, "", mode=0), ""),
    ]  # fmt: skip
    for name, fields, content in rows:
        yield {"name": name, "entry": fields, "content": content, "bytes": entry(fields).hex() + content}


def documents():
    for name, kind, fields in DOCUMENTS:
        yield {"name": name, "kind": kind, "fields": fields, "payload": document(name).hex()}


def main(directory):
    for make in (frames, documents, streams, bad_documents, bad_frames, trees):
        text = json.dumps(list(make()), indent=1, ensure_ascii=False)
        (Path(directory) / f"{make.__name__}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
