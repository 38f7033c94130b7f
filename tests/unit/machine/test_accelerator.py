"""What is remembered of KVM."""

from pathlib import Path

from insula.machine.accelerator import Verdict, obstacle, read_verdict, write_verdict
from insula.machine.platform import platforms
from insula.paths import Paths


def test_a_verdict_is_remembered_for_its_platform_and_build(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "home", tmp_path / "run")
    paths.make()
    amd64, arm64 = platforms()["linux/amd64"], platforms()["linux/arm64"]
    assert read_verdict(paths, amd64, "b1") is None
    write_verdict(paths, amd64, "b1", Verdict(False, "spins"))
    assert read_verdict(paths, amd64, "b1") == Verdict(False, "spins")
    assert read_verdict(paths, amd64, "b2") is None
    assert read_verdict(paths, arm64, "b1") is None


def test_a_verdict_of_another_boot_is_dropped(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "home", tmp_path / "run")
    paths.make()
    paths.accelerators.write_text('{"other-boot linux/amd64 b1": {"works": true, "reason": "x"}}')
    amd64 = platforms()["linux/amd64"]
    assert read_verdict(paths, amd64, "b1") is None
    write_verdict(paths, amd64, "b1", Verdict(True, "y"))
    assert "other-boot" not in paths.accelerators.read_text()


def test_a_damaged_memory_is_no_verdict(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "home", tmp_path / "run")
    paths.make()
    paths.accelerators.write_text("{")
    assert read_verdict(paths, platforms()["linux/amd64"], "b") is None


def test_a_foreign_architecture_cannot_have_kvm() -> None:
    foreign = [platform for platform in platforms().values() if not platform.native]
    assert foreign
    assert all("the host is" in (obstacle(platform) or "") for platform in foreign)
