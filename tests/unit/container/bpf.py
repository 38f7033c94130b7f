"""Runs a classic BPF program on a `struct seccomp_data`, as the kernel would, in the architecture's byte order."""

import struct


def run_filter(program: bytes, architecture: int, call: int, arguments: tuple[int, ...] = ()) -> int:
    order = "<" if program[0] else ">"  # the first instruction loads: its code is below 256
    data = struct.pack(f"{order}IIQ6Q", call, architecture, 0, *(*arguments, *[0] * (6 - len(arguments))))
    code = list(struct.iter_unpack(f"{order}HBBI", program))
    accumulator, at = 0, 0
    while True:
        operation, true, false, k = code[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from(f"{order}I", data, k)
            case 0x05:
                at += k
            case 0x15 | 0x25 | 0x35 | 0x45:
                holds = {
                    0x15: accumulator == k,
                    0x25: accumulator > k,
                    0x35: accumulator >= k,
                    0x45: bool(accumulator & k),
                }[operation]
                at += true if holds else false
            case 0x54:
                accumulator &= k
            case 0x06:
                return int(k)
            case _:
                raise AssertionError(f"instruction {operation:#x}")
