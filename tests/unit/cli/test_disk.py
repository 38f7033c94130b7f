"""df, prune and port against the real API over plain agents."""

from typing import Any

import pytest


async def test_what_is_taken(real: Any) -> None:
    made = await real.insula("create", "--network", "none", "--name", "aa", "test", "true")
    assert made.status == 0, made
    ran = await real.insula("ps", "-as")
    assert "SIZE" in ran.out and "0B (virtual 1kB)" in ran.out
    assert (await real.insula("container", "ls", "-a", "--format", "{{.Size}}")).out == "0B (virtual 1kB)\n"
    assert (
        await real.insula("ps", "-a", "--format", "{{pad .Names 1 2}}|{{truncate .Image 2}}")
    ).out == " aa  |te\n"
    assert (await real.insula("port", "aa")) == (await real.insula("container", "port", "aa"))
    assert (await real.insula("port", "aa", "80")).status == 1


async def test_pruning_all_takes_volumes_that_are_asked_for(real: Any) -> None:
    assert (await real.insula("volume", "create", "named")).status == 0
    anonymous = (await real.insula("volume", "create")).out.strip()
    assert (await real.insula("system", "prune", "-f")).status == 0
    assert set((await real.insula("volume", "ls", "-q")).out.split()) == {"named", anonymous}
    refused = await real.insula("system", "prune", "-f", "--volumes", "--filter", "until=1h")
    assert (refused.status, "not supported" in refused.err) == (1, True)
    done = await real.insula("system", "prune", "-f", "--volumes")
    assert f"Deleted Volumes:\n{anonymous}\n" in done.out, done
    assert (await real.insula("volume", "ls", "-q")).out.split() == ["named"]


@pytest.mark.parametrize("words", [("container", "prune"), ("system", "prune", "--filter", "label!=x")])
async def test_prune_asks_first(real: Any, words: tuple[str, ...]) -> None:
    id = (await real.insula("create", "test", "true")).out.strip()
    refused = await real.insula(*words, input=b"n\n")
    assert (refused.status, "[y/N]" in refused.out) == (1, True)
    assert (await real.insula("ps", "-aq", "--no-trunc")).out.strip() == id
    done = await real.insula(*words, input=b"y\n")
    assert f"Deleted Containers:\n{id}\n\nTotal reclaimed space: 0B\n" in done.out, done
    assert (await real.insula(*words, "-f")).out == "Total reclaimed space: 0B\n"
