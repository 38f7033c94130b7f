import asyncio

from plain_daemon import SECONDS, Daemon

from insula.container.attach import AttachRequest
from insula.container.logs import LogQuery

BOTH = AttachRequest(stdout=True, stderr=True)
MEGABYTES = 8


async def test_input_goes_in_and_output_comes_out(daemon: Daemon) -> None:
    id = await daemon.create("cat", open_stdin=True, stdin_once=True)
    data = bytes(range(256)) * 4096
    async with daemon.containers.attach(id, AttachRequest(stdin=True, stdout=True)) as attachment:

        async def feed() -> None:
            await attachment.write(data)
            await attachment.end_input()

        feeding = asyncio.create_task(feed())
        await daemon.containers.start(id)
        assert b"".join([piece async for _, piece in attachment.output()]) == data
        await feeding
    assert await daemon.log(id) == data


async def test_several_are_attached_and_all_see_everything(daemon: Daemon) -> None:
    id = await daemon.create("sh", "-c", "seq 1 50000")
    expected = "".join(f"{i}\n" for i in range(1, 50001)).encode()

    async def follow() -> bytes:
        async with daemon.containers.attach(id, BOTH) as attachment:
            return b"".join([piece async for _, piece in attachment.output()])

    following = [asyncio.create_task(follow()) for _ in range(3)]
    await asyncio.sleep(0.05)
    await daemon.containers.start(id)
    assert await asyncio.gather(*following) == [expected] * 3


async def test_a_client_that_does_not_read_holds_nobody_up_and_misses_nothing(daemon: Daemon) -> None:
    command = f"head -c {MEGABYTES << 20} /dev/zero | tr '\\0' x | fold -w 99; echo; echo end"
    id = await daemon.create("sh", "-c", command)
    async with daemon.containers.attach(id, BOTH) as attachment:
        ended = daemon.containers.wait(id, "next-exit")
        await daemon.containers.start(id)
        assert (await ended).exit_code == 0
        slow = b"".join([piece async for _, piece in attachment.output()])
    assert len(slow) > MEGABYTES << 20 and slow.endswith(b"\nend\n")
    assert slow == await daemon.log(id)


async def test_without_a_log_the_program_waits_for_its_client(daemon: Daemon) -> None:
    command = f"head -c {MEGABYTES << 20} /dev/zero; echo end"
    id = await daemon.create("sh", "-c", command, log_driver="none")
    async with daemon.containers.attach(id, BOTH) as attachment:
        ended = asyncio.ensure_future(daemon.containers.wait(id, "next-exit"))
        await daemon.containers.start(id)
        await asyncio.wait((ended,), timeout=0.5)
        assert not ended.done()
        pieces = [piece async for _, piece in attachment.output()]
        assert len(b"".join(pieces)) == (MEGABYTES << 20) + 4
        assert (await ended).exit_code == 0


async def test_attached_late_it_replays_the_log_and_goes_on(daemon: Daemon) -> None:
    id = await daemon.start("sh", "-c", "echo one; printf par; read x; echo tial", open_stdin=True)
    async for _ in daemon.containers.logs(id, LogQuery(follow=True)):
        break
    await asyncio.sleep(0.1)
    async with daemon.containers.attach(id, AttachRequest(stdin=True, stdout=True, logs=True)) as attachment:
        output = attachment.output()
        seen = b""
        while seen != b"one\npar":
            seen += (await anext(output))[1]
        await attachment.write(b"\n")
        seen += b"".join([piece async for _, piece in output])
    assert seen == b"one\npartial\n"


async def test_the_log_alone_is_replayed_and_ends(daemon: Daemon) -> None:
    id = await daemon.start("sh", "-c", "echo one; exec sleep 1000")
    async for _ in daemon.containers.logs(id, LogQuery(follow=True)):
        break
    async with daemon.containers.attach(
        id, AttachRequest(stdout=True, logs=True, stream=False)
    ) as attachment:
        assert [piece async for piece in attachment.output()] == [(1, b"one\n")]
    await daemon.containers.remove(id, force=True)


async def test_one_stream_of_two(daemon: Daemon) -> None:
    id = await daemon.create("sh", "-c", "echo out; echo err >&2")
    async with daemon.containers.attach(id, AttachRequest(stderr=True)) as attachment:
        await daemon.containers.start(id)
        assert [piece async for piece in attachment.output()] == [(2, b"err\n")]


async def test_a_terminal_is_raw_and_can_be_resized(daemon: Daemon) -> None:
    id = await daemon.create("sh", "-c", "read x; stty size", open_stdin=True, tty=True)
    async with daemon.containers.attach(id, AttachRequest(stdin=True, stdout=True)) as attachment:
        await daemon.containers.start(id)
        await daemon.containers.resize(id, 33, 111)
        await attachment.write(b"\n")
        output = b"".join([piece async for _, piece in attachment.output()])
    assert attachment.tty
    assert output.endswith(b"33 111\r\n")


async def test_detached_input_of_a_lasting_stdin_leaves_it_open(daemon: Daemon) -> None:
    id = await daemon.start("cat", open_stdin=True)
    for word in (b"one\n", b"two\n"):
        async with daemon.containers.attach(id, AttachRequest(stdin=True, stdout=True)) as attachment:
            await attachment.write(word)
            assert await anext(attachment.output()) == (1, word)
            await attachment.end_input()
    await daemon.containers.kill(id)


async def test_a_failed_start_ends_the_attachment(daemon: Daemon) -> None:
    id = await daemon.create("no-such-program")
    async with daemon.containers.attach(id, BOTH) as attachment:
        started = asyncio.create_task(daemon.containers.start(id))
        assert [piece async for piece in attachment.output()] == []
        await asyncio.gather(started, return_exceptions=True)


async def test_who_attaches_to_the_input_alone_stays_until_it_ends(daemon: Daemon) -> None:
    id = await daemon.start("sh", "-c", "read line; read line", open_stdin=True)
    async with daemon.containers.attach(id, AttachRequest(stdin=True)) as attachment:

        async def drain() -> None:
            async for _ in attachment.output():
                raise AssertionError("no output was asked for")

        staying = asyncio.create_task(drain())
        await attachment.write(b"one\n")
        done, _ = await asyncio.wait((staying,), timeout=0.2)
        assert not done
        await attachment.write(b"two\n")
        async with asyncio.timeout(SECONDS):
            await staying
