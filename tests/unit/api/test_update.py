from typing import Any

import pytest

from insula.api.update import decode_update
from insula.container.restart_policy import RestartPolicy
from insula.errors import InsulaError, InvalidArgument

CLI = {
    "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": None,
    "BlkioDeviceReadBps": None, "BlkioDeviceWriteBps": None, "BlkioDeviceReadIOps": None,
    "BlkioDeviceWriteIOps": None, "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0,
    "CpusetCpus": "", "CpusetMems": "", "Devices": None, "DeviceCgroupRules": None, "DeviceRequests": None,
    "MemoryReservation": 0, "MemorySwap": 0, "MemorySwappiness": None, "OomKillDisable": None, "PidsLimit": None,
    "Ulimits": None, "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0,
    "RestartPolicy": {"Name": "", "MaximumRetryCount": 0},
}  # fmt: skip
"""As docker 28 sends it."""


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({}, {}),
        ({"Memory": 1 << 26, "NanoCpus": 5 * 10**8}, {"memory": 1 << 26, "nano_cpus": 5 * 10**8}),
        ({"PidsLimit": 9}, {"pids_limit": 9}),
        ({"PidsLimit": -1}, {"pids_limit": 0}),
        ({"PidsLimit": 0}, {"pids_limit": 0}),
        ({"CpuQuota": -1}, {"cpu_quota": -1}),
        ({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}},
         {"restart": RestartPolicy("on-failure", 2)}),
        ({"RestartPolicy": {"Name": "no"}}, {"restart": RestartPolicy()}),
    ],
)  # fmt: skip
def test_what_is_asked_for(sent: dict[str, Any], fields: dict[str, Any]) -> None:
    wanted, warnings = decode_update(CLI | sent, (1, 51))
    assert (wanted.fields, warnings) == (fields, [])
    assert set(wanted.raw) == {name for name in sent if name != "RestartPolicy"}


def test_rates_are_changed_one_by_one() -> None:
    wanted, _ = decode_update({"BlkioDeviceReadBps": [{"Path": "/dev/vda", "Rate": 9}]}, (1, 51))
    assert wanted.rates == {"read_bps": 9}


def test_old_clients_cannot_name_a_number_of_processes() -> None:
    assert decode_update({"PidsLimit": 5}, (1, 39))[0].fields == {}


@pytest.mark.parametrize(
    "sent",
    [
        {"Memory": "1m"},
        {"Privileged": True},
        {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 1}]},
        {"RestartPolicy": {"Name": "often"}},
        {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}},
        {"CpuRealtimePeriod": 1000},
    ],
)
def test_what_cannot_be_asked_for(sent: dict[str, Any]) -> None:
    with pytest.raises(InsulaError) as refused:
        decode_update(sent, (1, 51))
    assert isinstance(refused.value, InvalidArgument)
