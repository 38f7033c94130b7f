import pytest

from insula.container.security import OPTIONS_MAX, PROFILE_MAX, Security, parse_security
from insula.errors import InvalidArgument


@pytest.mark.parametrize(
    ("options", "security"),
    [
        ((), Security()),
        (("no-new-privileges",), Security(True)),
        (("no-new-privileges=true",), Security(True)),
        (("no-new-privileges:1", "no-new-privileges=false"), Security()),
        (("seccomp=unconfined",), Security(seccomp="unconfined")),
        (("seccomp:builtin",), Security(seccomp="builtin")),
        (('seccomp={"defaultAction": "a=b:c"}',), Security(seccomp='{"defaultAction": "a=b:c"}')),
        (("label=disable", "disable", "apparmor=unconfined", "apparmor:unconfined"), Security()),
        (("label=type:x", "apparmor=mine"), Security(ignored=("label=type:x", "apparmor=mine"))),
    ],
)
def test_options(options: tuple[str, ...], security: Security) -> None:
    assert parse_security(options) == security


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("", 'invalid --security-opt 1: ""'),
        ("odd", 'invalid --security-opt 1: "odd"'),
        ("odd=1", 'invalid --security-opt 2: "odd=1"'),
        ("systempaths=unconfined", 'invalid --security-opt 2: "systempaths=unconfined"'),
        ("no-new-privileges=maybe", 'invalid --security-opt 2: "no-new-privileges=maybe"'),
        ("seccomp=" + "x" * (PROFILE_MAX + 1), "Decoding seccomp profile failed: it has more than 1 MiB"),
    ],
    ids=lambda value: value[:40],
)
def test_what_is_none(option: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_security((option,))
    assert str(caught.value) == words


def test_there_is_an_end() -> None:
    with pytest.raises(InvalidArgument):
        parse_security(("no-new-privileges",) * (OPTIONS_MAX + 1))
