"""The jail's command line; what it does is seen in tests/security."""

from pathlib import Path

from insula.machine.jail import CAPABILITIES, FIRST_ID, ID_RANGE, Jail, JailRoot, jail_argv

ROOT = JailRoot(Path("/var/lib/insula/jails/q"), "b")


def test_as_root_the_machine_has_an_id_of_its_own_and_no_privilege() -> None:
    words = jail_argv(Jail(ROOT, 3, "tcg"), 9, ["/usr/bin/qemu"])
    assert f"--reuid={FIRST_ID + 3 * ID_RANGE}" in words and f"--regid={FIRST_ID + 3 * ID_RANGE}" in words
    assert {"--clear-groups", "--no-new-privs", "--bounding-set=-all", "--core=0"} <= set(words)
    assert "/dev/kvm" not in words
    assert words[-2:] == ["--", "/usr/bin/qemu"]


def test_as_root_it_enters_its_range_of_ids_and_keeps_what_an_owner_of_files_needs() -> None:
    words = jail_argv(Jail(ROOT, 3, "tcg", ids=8), 9, ["/usr/bin/qemu"])
    assert "--user=/proc/self/fd/8" in words and "--unshare-user" not in words
    kept = {words[number + 1] for number, word in enumerate(words) if word == "--cap-add"}
    assert kept == set(CAPABILITIES)
    assert words.index("--cap-drop") < words.index("--cap-add")
    for space in ("ipc", "pid", "net", "uts"):
        assert f"--unshare-{space}" in words


def test_as_an_ordinary_user_the_jail_is_the_user_s() -> None:
    words = jail_argv(Jail(ROOT, None, "tcg"), 9, ["/usr/bin/qemu"])
    assert not any(word.startswith("--reuid") for word in words)
    assert {"--unshare-user", "--disable-userns", "--clearenv"} <= set(words)
    assert words[words.index("--cap-drop") + 1] == "ALL" and "--cap-add" not in words


def test_kvm_brings_its_device_and_nothing_else() -> None:
    words = jail_argv(Jail(ROOT, None, "kvm"), 9, ["/usr/bin/qemu"])
    assert words[words.index("--dev-bind") + 1 :][:2] == ["/dev/kvm", "/dev/kvm"]
    assert words.count("--dev-bind") == 1
    assert words.index("--dev-bind") < words.index("--remount-ro"), "a closed /dev takes no mount point"


def test_the_machine_outlives_the_daemon() -> None:
    assert "--die-with-parent" not in jail_argv(Jail(ROOT, 1, "tcg"), 9, ["q"])
