"""`--security-opt`: Docker's words for what guards a container's processes, read once. Pure.

What a machine has is done (no-new-privileges, seccomp); SELinux and AppArmor are off in a guest's kernel, so their
options are noted, to be named in a warning, as Docker passes them by where the host has neither. Anything else is
refused as Docker refuses it.
"""

from dataclasses import dataclass

from insula.errors import InvalidArgument

BUILTIN, UNCONFINED = "builtin", "unconfined"
TRUE_WORDS = ("1", "t", "T", "TRUE", "true", "True")
FALSE_WORDS = ("0", "f", "F", "FALSE", "false", "False")
OPTIONS_MAX = 64
PROFILE_MAX = 1 << 20
NOT_ASKING = ("disable", "label=disable", "label:disable", "apparmor=unconfined", "apparmor:unconfined")


@dataclass(frozen=True, slots=True)
class Security:
    """seccomp: 'builtin', 'unconfined', a profile's JSON, or empty: the default. ignored: options that say
    nothing about a guest."""

    no_new_privileges: bool = False
    seccomp: str = ""
    ignored: tuple[str, ...] = ()


def parse_security(options: tuple[str, ...]) -> Security:
    """Later options win. Raises InvalidArgument."""
    if len(options) > OPTIONS_MAX:
        raise InvalidArgument(f"more than {OPTIONS_MAX} security options")
    strict, seccomp, ignored = False, "", []
    for option in options:
        if option == "no-new-privileges":
            strict = True
            continue
        name, value = _split(option)
        if name == "no-new-privileges":
            strict = _parse_bool(option, value)
        elif name == "seccomp":
            seccomp = _check_profile(value)
        elif name in ("label", "apparmor") or option == "disable":
            ignored += [] if option in NOT_ASKING else [option[:80]]
        else:
            raise InvalidArgument(f'invalid --security-opt 2: "{option[:80]}"')
    return Security(strict, seccomp, tuple(ignored))


def _split(option: str) -> tuple[str, str]:
    """`name=value`, or in the old way `name:value`."""
    if option == "disable":
        return "disable", ""
    name, found, value = option.partition("=" if "=" in option else ":")
    if not found:
        raise InvalidArgument(f'invalid --security-opt 1: "{option[:80]}"')
    return name, value


def _parse_bool(option: str, value: str) -> bool:
    if value not in TRUE_WORDS + FALSE_WORDS:
        raise InvalidArgument(f'invalid --security-opt 2: "{option[:80]}"')
    return value in TRUE_WORDS


def _check_profile(value: str) -> str:
    if len(value) > PROFILE_MAX:
        raise InvalidArgument(f"Decoding seccomp profile failed: it has more than {PROFILE_MAX >> 20} MiB")
    return value
