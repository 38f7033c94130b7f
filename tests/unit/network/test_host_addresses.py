"""The host's addresses are followed as they come and go: tried in a network name space of the test's own."""

import subprocess
import sys

PROGRAM = """
import subprocess
from insula.network.host import AddressWatch, host_addresses

def ip(*words):
    subprocess.run(["ip", *words], check=True)

watch = AddressWatch()
assert not watch.changed()
ip("link", "set", "lo", "up")
watch.changed()  # the loopback's own addresses come with it
for address in ("198.51.100.7/32", "2001:db8::7/128"):
    ip("addr", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
    assert watch.changed(), address
    assert address.partition("/")[0] in host_addresses()
    assert not watch.changed()
ip("addr", "del", "198.51.100.7/32", "dev", "lo")
assert watch.changed()
assert host_addresses() == {"2001:db8::7"}
flood = "addr add 198.51.100.9/32 dev lo\\naddr del 198.51.100.9/32 dev lo\\n" * 3000  # more than there is room for
subprocess.run(["ip", "-batch", "-"], input=flood, text=True, check=True)
assert watch.changed()
while watch.changed():
    pass
watch.close()
"""


def test_addresses_that_come_and_go_are_noticed() -> None:
    words = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", PROGRAM]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
