from insula.container.post_mortem import LINES_MAX, SHOWN_MAX, explain_stop

PANIC = "Kernel panic - not syncing: sysrq triggered crash"


def test_a_panic_is_told_with_its_own_lines() -> None:
    console = f"early words\r\nsysrq: Trigger a crash\r\n{PANIC}\r\nCPU: 0 PID: 99\r\n\r\nCall Trace:\r\n"
    assert explain_stop(console).splitlines() == [
        "its guest's kernel panicked: sysrq triggered crash", PANIC, "CPU: 0 PID: 99", "Call Trace:",
    ]  # fmt: skip


def test_the_last_panic_counts() -> None:
    """A container may print what it likes to its console, before."""
    console = f"Kernel panic - not syncing: a joke\n{PANIC}\n"
    assert explain_stop(console).splitlines()[0].endswith("sysrq triggered crash")


def test_without_a_panic_it_is_the_last_lines() -> None:
    console = "\n".join(f"line {n}" for n in range(100))
    told = explain_stop(console).splitlines()
    assert (told[0], told[1:]) == ("its guest stopped", [f"line {n}" for n in range(100 - LINES_MAX, 100)])
    assert explain_stop("") == "its guest stopped"


def test_it_is_bounded_and_moves_no_cursor() -> None:
    told = explain_stop(PANIC + "\n" + "\x1b[2J\x07" + "x" * 100_000 + "\x9b31m")
    assert len(told) == SHOWN_MAX
    assert all(letter.isprintable() or letter == "\n" for letter in told)
