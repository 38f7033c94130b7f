"""The cpio writer, read back by the tool that knows the format."""

import io
import shutil
import subprocess
from pathlib import Path

from insula.machine.initramfs import CpioWriter


def written() -> bytes:
    out = io.BytesIO()
    cpio = CpioWriter(out)
    cpio.add_folder("dev")
    cpio.add_character_device("dev/console", 5, 1)
    cpio.add_file("init", b"#!/bin/sh\n", 0o755)
    cpio.add_file("odd", b"123", 0o600)
    cpio.close()
    return out.getvalue()


def test_busybox_reads_what_is_written(tmp_path: Path) -> None:
    tool = shutil.which("busybox") or shutil.which("cpio")
    assert tool, "busybox or cpio"
    words = [tool, "cpio", "-t", "-v"] if tool.endswith("busybox") else [tool, "-itv"]
    listed = subprocess.run(words, input=written(), capture_output=True, check=True).stdout.decode()
    lines = {line.split()[-1]: line for line in listed.splitlines()}
    assert lines["dev"].startswith("drwxr-xr-x")
    assert lines["dev/console"].startswith("crw-------")
    assert lines["init"].startswith("-rwxr-xr-x") and " 10 " in lines["init"]
    assert lines["odd"].startswith("-rw-------")


def test_a_device_has_its_numbers() -> None:
    """Fields of eight hexadecimal digits after the magic; the tenth and eleventh are the device's own numbers."""
    archive = written()
    header = archive[archive.index(b"dev/console\0") - 110 :]
    assert (int(header[6 + 9 * 8 : 6 + 10 * 8], 16), int(header[6 + 10 * 8 : 6 + 11 * 8], 16)) == (5, 1)


def test_equal_inputs_make_equal_bytes() -> None:
    assert written() == written()
    assert len(written()) % 4 == 0
