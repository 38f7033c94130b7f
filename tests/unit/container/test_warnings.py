from typing import Any

import pytest

from insula.container.spec import ContainerSpec
from insula.container.spec_limits import DeviceLimits
from insula.container.warnings import ANY_DEVICE, NO_SWAP, warnings_of


@pytest.mark.parametrize(
    ("given", "warnings"),
    [
        ({}, []),
        ({"memory": 8 << 20, "memory_swap": 8 << 20}, []),
        ({"memory": 8 << 20, "memory_swap": -1}, []),
        ({"memory": 8 << 20, "memory_swap": 9 << 20}, [NO_SWAP]),
        ({"device_limits": DeviceLimits(write_bps=1)}, [ANY_DEVICE]),
        ({"privileged": True, "cap_drop": ("ALL",)},
         ["HostConfig.CapDrop has no effect: a privileged container has every capability."]),
        ({"security_opt": ("label=user:x", "seccomp=unconfined")},
         ["The security option label=user:x has no effect: a guest's kernel has neither SELinux nor AppArmor."]),
    ],
)  # fmt: skip
def test_what_is_told(given: dict[str, Any], warnings: list[str]) -> None:
    assert list(warnings_of(ContainerSpec(image="i", **({"network_mode": "none"} | given)))) == warnings
