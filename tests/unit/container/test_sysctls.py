import pytest

from insula.container.sysctls import DEFAULTS, check_sysctls, sysctl_path
from insula.errors import InvalidArgument


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eno2.100/rp_filter", "net/ipv4/conf/eno2.100/rp_filter"),
        ("net.ipv4.conf.eno2/100.rp_filter", "net/ipv4/conf/eno2.100/rp_filter"),
        ("kernel.shm_rmid_forced", "kernel/shm_rmid_forced"),
        ("kernel.domainname", "kernel/domainname"),
        ("fs.mqueue.msg_max", "fs/mqueue/msg_max"),
        ("fs/mqueue/msg_max", "fs/mqueue/msg_max"),
    ],
)
def test_where_it_lies(name: str, path: str) -> None:
    assert sysctl_path(name) == path
    check_sysctls({name: "1 2\t3"[:3]})


NOT_SEPARATE = 'sysctl "{}" is not in a separate kernel namespace'


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vm.swappiness", NOT_SEPARATE.format("vm.swappiness")),
        ("vm/swappiness", NOT_SEPARATE.format("vm.swappiness")),
        ("kernel.msgmax.x", NOT_SEPARATE.format("kernel.msgmax.x")),
        ("kernel.panic", NOT_SEPARATE.format("kernel.panic")),
        ("fs.file-max", NOT_SEPARATE.format("fs.file-max")),
        ("user.max_user_namespaces",
         "setting ucounts without a user namespace not allowed: user.max_user_namespaces"),
        ("kernel.hostname", 'sysctl "kernel.hostname" is not allowed as it conflicts with the OCI "hostname" field '
                            "(use --hostname)"),
        ("", "sysctl '' is not allowed"),
        ("net", "sysctl 'net' is not allowed"),
        ("net..x", "sysctl 'net..x' is not allowed"),
        ("net/../kernel/panic", "sysctl 'net/../kernel/panic' is not allowed"),
        ("net.//.kernel.panic", "sysctl 'net.//.kernel.panic' is not allowed"),
        ("/net/core", "sysctl '/net/core' is not allowed"),
        ("net.a\0b", "sysctl 'net.a\0b' is not allowed"),
        ("net." + "a" * 300, "sysctl 'net." + "a" * 196 + "' is not allowed"),
    ],
)  # fmt: skip
def test_what_is_refused(name: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_sysctls({name: "1"})
    assert str(caught.value) == words


def test_values_are_lines_of_text() -> None:
    for value in ("1\n2", "\0", "é", "1" * 2000):
        with pytest.raises(InvalidArgument, match="cannot have the value"):
            check_sysctls({"net.core.somaxconn": value})
    with pytest.raises(InvalidArgument, match="more than 256"):
        check_sysctls({f"net.x{n}": "1" for n in range(257)})


def test_dockers_own_are_allowed() -> None:
    check_sysctls(DEFAULTS)
