"""Each field that is `done` has a test that looks at its effect where that is: in a container of a machine, or (what no
container shows) where the field is answered. The tests themselves are in tests/boot; here is which, and that they are."""

import re
from pathlib import Path

import pytest

from insula.api.fields import SECTIONS, Answer

TESTS = Path(__file__).resolve().parents[2]
OPTIONS, FURTHER, RUN = "boot/test_options.py", "boot/test_further_options.py", "boot/test_run.py"
NETWORKS, CONNECT, PORTS, MOUNTS = (
    f"boot/test_{name}.py" for name in ("networks", "connect", "ports", "mounts")
)
TABLE = f"{OPTIONS} test_what_is_seen"

SEEN: dict[str, dict[str, str]] = {
    "Config": {
        "Hostname": TABLE,
        "Domainname": TABLE,
        "User": f"{RUN} test_users",
        "AttachStdin": f"{RUN} test_input_is_piped_through_with_its_end",
        "AttachStdout": f"{RUN} test_the_two_streams_stay_apart",
        "AttachStderr": f"{RUN} test_the_two_streams_stay_apart",
        "ExposedPorts": f"{PORTS} test_every_form",
        "Tty": "boot/test_terminal.py test_a_shell_with_prompt_size_resize_and_ctrl_c",
        "OpenStdin": f"{RUN} test_input_is_piped_through_with_its_end",
        "StdinOnce": "api/test_docker_py.py test_attach_and_its_socket",
        "Env": TABLE,
        "Cmd": f"{RUN} test_environment_directory_and_entrypoint",
        "Healthcheck": "boot/test_health.py test_from_starting_to_healthy_to_unhealthy_and_back",
        "Image": f"{RUN} test_an_image_made_elsewhere_is_loaded_run_tagged_and_removed",
        "Volumes": f"{MOUNTS} test_anonymous_volumes_go_with_rm_and_with_their_containers_when_asked",
        "WorkingDir": TABLE,
        "Entrypoint": f"{RUN} test_environment_directory_and_entrypoint",
        "NetworkDisabled": f"{FURTHER} test_no_network_at_all",
        "MacAddress": f"{FURTHER} test_an_address_of_the_link_and_the_gateway_that_is_preferred",
        "Labels": f"{OPTIONS} test_files_of_variables_and_labels",
        "StopSignal": f"{OPTIONS} test_the_signal_and_the_time_to_stop",
        "StopTimeout": f"{OPTIONS} test_the_signal_and_the_time_to_stop",
        "Shell": f"{FURTHER} test_a_check_goes_by_the_shell_that_is_asked_for",
    },
    "HostConfig": {
        "Binds": f"{MOUNTS} test_a_folder_of_the_host",
        "ContainerIDFile": f"{FURTHER} test_an_id_in_a_file_and_a_driver_of_volumes",
        "LogConfig": f"{FURTHER} test_a_log_is_bounded_compressed_and_says_what_it_was_asked_to",
        "NetworkMode": f"{NETWORKS} test_networks_do_not_reach_each_other",
        "PortBindings": f"{PORTS} test_every_form",
        "RestartPolicy": "boot/test_life.py test_on_failure",
        "AutoRemove": "api/test_wait.py test_removed_with_auto_remove_from_before_the_start_and_from_the_middle",
        "VolumeDriver": f"{FURTHER} test_an_id_in_a_file_and_a_driver_of_volumes",
        "VolumesFrom": f"{MOUNTS} test_several_running_containers_share_one",
        "ConsoleSize": f"{FURTHER} test_a_terminal_has_its_size_from_the_start",
        "Annotations": f"{OPTIONS} test_another_kernel_and_a_boot_of_its_own",
        "CapAdd": TABLE,
        "CapDrop": TABLE,
        "Dns": "unit/network/test_names.py test_the_askers_own_servers",
        "DnsOptions": f"{NETWORKS} test_what_a_container_is_told_of_names",
        "DnsSearch": f"{NETWORKS} test_what_a_container_is_told_of_names",
        "ExtraHosts": f"{NETWORKS} test_what_a_container_is_told_of_names",
        "GroupAdd": TABLE,
        "Links": f"{CONNECT} test_links_of_the_default_network",
        "OomScoreAdj": TABLE,
        "Privileged": TABLE,
        "PublishAllPorts": f"{PORTS} test_every_form",
        "ReadonlyRootfs": TABLE,
        "SecurityOpt": TABLE,
        "StorageOpt": TABLE,
        "Tmpfs": TABLE,
        "ShmSize": TABLE,
        "Sysctls": TABLE,
        "Isolation": f"{OPTIONS} test_another_kernel_and_a_boot_of_its_own",
        "CpuShares": TABLE,
        "Memory": TABLE,
        "NanoCpus": TABLE,
        "BlkioWeight": TABLE,
        "BlkioWeightDevice": TABLE,
        "BlkioDeviceReadBps": TABLE,
        "BlkioDeviceWriteBps": f"{OPTIONS} test_device_limits_hold_in_the_guest_and_below_it",
        "BlkioDeviceReadIOps": TABLE,
        "BlkioDeviceWriteIOps": TABLE,
        "CpuPeriod": TABLE,
        "CpuQuota": TABLE,
        "CpusetCpus": TABLE,
        "CpusetMems": TABLE,
        "MemoryReservation": TABLE,
        "MemorySwap": TABLE,
        "PidsLimit": TABLE,
        "Ulimits": TABLE,
        "Mounts": f"{MOUNTS} test_a_part_of_a_volume",
        "MaskedPaths": f"{OPTIONS} test_through_docker_py",
        "ReadonlyPaths": f"{OPTIONS} test_through_docker_py",
        "Init": TABLE,
    },
    "NetworkingConfig.EndpointsConfig": {
        "IPAMConfig": f"{NETWORKS} test_networks_are_managed_as_with_docker",
        "Links": f"{CONNECT} test_a_link_of_a_users_network_is_a_name_for_one",
        "Aliases": f"{NETWORKS} test_containers_of_one_network_find_each_other_across_architectures",
        "MacAddress": f"{FURTHER} test_an_address_of_the_link_and_the_gateway_that_is_preferred",
        "DriverOpts": f"{FURTHER} test_an_address_of_the_link_and_the_gateway_that_is_preferred",
        "GwPriority": f"{FURTHER} test_an_address_of_the_link_and_the_gateway_that_is_preferred",
    },
}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_field_that_is_done_has_a_test_of_its_effect(section: str) -> None:
    done = {field.name for field in SECTIONS[section] if field.answer is Answer.DONE}
    assert set(SEEN[section]) == done
    for file, name in (seen.split() for seen in SEEN[section].values()):
        assert re.search(rf"^(async )?def {name}\(", (TESTS / file).read_text(), re.MULTILINE), (file, name)
