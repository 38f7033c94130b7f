"""One build: the context received, the Dockerfile read, the stages that are needed built, the image named.

Everything that it makes on the way (files in staging, machines with their disks) is held by one AsyncExitStack
and gone when the build ends, however it ends. What it has finished by then are whole images, which the next build
finds again.
"""

import asyncio
import logging
import posixpath
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from insula.build.arguments import Arguments, platform_arguments
from insula.build.bases import Bases
from insula.build.cache import StepCache
from insula.build.dockerfile import (
    Dockerfile,
    Stage,
    depends_on,
    earlier,
    find_stage,
    find_target,
    needs_of,
    read_dockerfile,
    sources_of,
)
from insula.build.expand import expand
from insula.build.file_tree import FileTree
from insula.build.lone_file import is_text, wrap
from insula.build.messages import Messages, Send
from insula.build.options import BuildOptions
from insula.build.parser import DOCKERFILE_MAX, fail
from insula.build.patterns import IGNORE_MAX, read_ignore
from insula.build.squash import squash
from insula.build.stage_build import DamagedCache, Shop, StageBuild
from insula.build.stage_machine import StageMachine, open_stage_machine
from insula.build.taking import Taking
from insula.build.turns import Turn, Turns
from insula.container.parts import Parts
from insula.errors import InvalidArgument
from insula.image.download import download
from insula.image.intake import ARCHIVE_MAX, receive
from insula.image.record import Image
from insula.image.reference import (
    ImagePlatform,
    host_architecture,
    make_platform,
    parse_platform,
    parse_reference,
)
from insula.image.registry.registries import Registries
from insula.image.unfold import is_compressed
from insula.thread import in_thread

SCRATCH = "scratch"
CONTEXT = "the build context"
DEFAULT_NAMES = ("Dockerfile", "dockerfile")

log = logging.getLogger(__name__)


async def build(
    parts: Parts,
    registries: Registries,
    cache: StepCache,
    options: BuildOptions,
    context: AsyncIterator[bytes],
    send: Send,
) -> list[Image]:
    """A whole build, for one platform or for several at once: the image of each. Raises InsulaError."""
    host = make_platform("linux", host_architecture())
    platforms = list(dict.fromkeys(parse_platform(text) for text in options.platforms)) or [host]
    messages = Messages(send, quiet=options.quiet)
    ground = Ground(parts, Bases(parts.images, registries, options.credentials), cache)
    async with AsyncExitStack() as held:
        tree, dockerfile = await Context(parts, options, held).open(context)
        builders = []
        for platform in platforms:
            own = messages if len(platforms) == 1 else messages.of(str(platform))
            builders.append(Builder(ground, options, own, dockerfile, platform))
        images = await _at_once(builders, tree)
        for tag in options.tags:
            await parts.images.tag(images, tag)
    await messages.built(images[0], [parse_reference(tag).familiar for tag in options.tags])
    return images


async def _at_once(builders: "list[Builder]", tree: FileTree) -> list[Image]:
    """The first failure ends the others, and is the build's."""
    tasks = [asyncio.create_task(builder.build(tree)) for builder in builders]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.shield(asyncio.gather(*tasks, return_exceptions=True))


class Context:
    """What a client sends, or names an address of: a tar with a Dockerfile in it; by an address also a Dockerfile
    alone. held: what it is staged in ends with that."""

    def __init__(self, parts: Parts, options: BuildOptions, held: AsyncExitStack) -> None:
        self._parts = parts
        self._options = options
        self._held = held

    async def open(self, context: AsyncIterator[bytes]) -> tuple[FileTree, Dockerfile]:
        """Raises InvalidArgument, Unavailable."""
        tree = await self._receive(context)
        return tree, read_dockerfile(await self._prepare(tree))

    async def _receive(self, context: AsyncIterator[bytes]) -> FileTree:
        steps = self._parts.images.steps
        path = await self._held.enter_async_context(steps.staging())
        if self._options.remote:
            await download(self._options.remote, path, "build", limit=ARCHIVE_MAX)
            if await in_thread(is_text, path):
                await in_thread(wrap, path, self._options.dockerfile or DEFAULT_NAMES[0])
        else:
            await receive(context, path, ARCHIVE_MAX)
        if await in_thread(is_compressed, path):
            plain = await self._held.enter_async_context(steps.staging())
            await steps.unfold(path, plain, CONTEXT)
            await in_thread(path.unlink)
            path = plain
        return await in_thread(FileTree, path, CONTEXT)

    async def _prepare(self, tree: FileTree) -> bytes:
        """The Dockerfile's bytes; and the context loses what is to be ignored. Raises InvalidArgument."""
        asked = self._options.dockerfile or DEFAULT_NAMES[0]
        clean = posixpath.normpath(asked.lstrip("/"))
        if clean.startswith(".."):
            raise InvalidArgument(f"Forbidden path outside the build context: {asked[:200]} ()")
        names = DEFAULT_NAMES if clean == DEFAULT_NAMES[0] else (clean,)
        found = next((name for name in names if tree.resolve(name)), None)
        place = tree.resolve(found) if found is not None else None
        if found is None or place is None:
            raise InvalidArgument(f"Cannot locate specified Dockerfile: {asked[:200]}")
        raw = await in_thread(tree.read, place, DOCKERFILE_MAX)
        for name in (f"{found}.dockerignore", ".dockerignore"):
            if name in tree.members:
                ignore = read_ignore(await in_thread(tree.read, name, IGNORE_MAX))
                await in_thread(tree.drop_ignored, ignore)
                break
        return raw


@dataclass(frozen=True, slots=True)
class Ground:
    """What the builds for all platforms stand on."""

    parts: Parts
    bases: Bases
    cache: StepCache


class Builder:
    """One build for one platform."""

    def __init__(
        self,
        ground: Ground,
        options: BuildOptions,
        messages: Messages,
        dockerfile: Dockerfile,
        platform: ImagePlatform,
    ) -> None:
        self._parts, self._bases, self._cache = ground.parts, ground.bases, ground.cache
        self._options = options
        self._messages = messages
        self._dockerfile = dockerfile
        self._platform = platform
        self._held = AsyncExitStack()
        self._done: dict[int, StageBuild] = {}
        self._machines: dict[str, StageMachine] = {}
        self._opening = asyncio.Lock()
        self._turns: Turns | None = None
        host = make_platform("linux", host_architecture())
        self._arguments = Arguments(options.arguments, platform_arguments(platform, host))

    async def build(self, tree: FileTree) -> Image:
        """Raises InsulaError."""
        try:
            return await self._build_once(tree)
        except DamagedCache as error:
            log.warning("a build begins anew: %s", error)
            await self._messages.say("A cached step is damaged: building without the cache\n")
            self._options = replace(self._options, no_cache=True)
            self._done, self._machines = {}, {}
            return await self._build_once(tree)

    async def _build_once(self, tree: FileTree) -> Image:
        async with AsyncExitStack() as self._held:
            stage = await self._build(self._dockerfile, tree)
            assert stage.image is not None
            if stage.opened:  # what came from the cache has been read; the disks of the rest are made later
                return stage.image
            try:
                return await self._parts.images.steps.complete(stage.image)
            except InvalidArgument as error:
                if any(one.used for one in self._done.values()):
                    raise DamagedCache(str(error)) from error
                raise

    # -- the stages

    async def _build(self, dockerfile: Dockerfile, tree: FileTree) -> StageBuild:
        self._arguments.epoch()
        for instruction in dockerfile.arguments:
            self._arguments.declare_global(instruction, dockerfile.escape)
        bases = {stage.index: self._from(stage, stage.base) for stage in dockerfile.stages}
        target = find_target(dockerfile.stages, self._options.target)
        needed = depends_on(dockerfile.stages, target, bases)
        usable = None
        if self._options.caches:
            usable = self._cache.chain(self._options.caches, str(self._platform))
        taking = Taking(tree, self._parts.images.steps, self._held)
        shop = Shop(
            self._parts,
            self._options,
            self._arguments,
            self._cache,
            self._messages,
            taking,
            self._held,
            usable,
        )
        count = _Count(dockerfile, needed, bool(self._options.labels))
        for number, instruction in enumerate(dockerfile.arguments, 1):
            await self._messages.step(number, count.total, _first_line(instruction.original))
        needs = {s.index: [n.index for n in needs_of(dockerfile.stages, s, bases)] for s in needed}
        self._turns = Turns([stage.index for stage in needed], needs, self._messages.send)

        async def do(index: int, turn: Turn) -> None:
            own = replace(shop, messages=self._messages.through(turn.send))
            await self._stage(own, dockerfile.stages[index], bases[index], count)
            await self._let_go(index)

        await self._turns.run(do)
        last = self._done[target.index]
        if self._options.labels:
            await self._messages.step(count.total, count.total, _shown_labels(self._options.labels))
            await last.label(self._options.labels)
        if unused := self._arguments.unused():
            words = " ".join(unused)
            await self._messages.say(f"[Warning] One or more build-args [{words}] were not consumed\n")
        if last.image is None:
            raise InvalidArgument("No image was generated. Is your Dockerfile empty?")
        if self._options.squash:
            base = last.base

            async def names() -> set[str]:
                return await self._names(base)

            last.image = await squash(self._parts.images.steps, base, last.image, last.document, names)
        return last

    async def _names(self, image: Image | None) -> set[str]:
        """Everything that an image has, for a machine on it to tell."""
        if image is None:
            return set()
        spec = self._options.container(image.id, ("true",))
        async with open_stage_machine(self._parts, spec, image) as machine:
            return set(await machine.names("/"))

    def _from(self, stage: Stage, text: str) -> str:
        """A word of a FROM with its variables replaced. Raises InvalidArgument."""
        try:
            found = expand(text, self._arguments.for_from(), self._dockerfile.escape)
        except InvalidArgument as error:
            raise fail(stage.line, error.message) from error
        if text and not found:
            raise fail(stage.line, f"base name ({text[:200]}) should not be blank")
        return found

    async def _stage(self, shop: Shop, stage: Stage, base: str, count: "_Count") -> None:
        platform = parse_platform(self._from(stage, stage.platform)) if stage.platform else self._platform
        messages, number = shop.messages, count.first[stage.index]
        await messages.step(number, count.total, _first_line(stage.from_.original))
        before = find_stage(self._dockerfile.stages[: stage.index], base)
        if before is not None:
            image = self._done[before.index].image
            platform = self._done[before.index].platform
        elif base == SCRATCH:
            image = None
        else:
            image = await self._bases.find(base, platform, messages, pull=self._options.pull)
        await messages.image(image)
        build = StageBuild(shop, self, stage, platform, self._dockerfile.escape, image)
        self._done[stage.index] = build
        triggers = build.begin()
        if triggers:
            plural = "s" if len(triggers) > 1 else ""
            await messages.say(f"# Executing {len(triggers)} build trigger{plural}\n")
        for instruction in triggers:
            await build.do(instruction)
        for instruction in stage.instructions:
            number += 1
            await messages.step(number, count.total, _first_line(instruction.original))
            await build.do(instruction)

    async def _let_go(self, done: int) -> None:
        """Of the machines of stages from which none of the rest takes files. done: the stage that has just been."""
        assert self._turns is not None
        stages, left = self._dockerfile.stages, [index for index in self._turns.left if index != done]
        wanted = {
            found.index
            for stage in (stages[index] for index in left)
            for instruction in stage.instructions
            for name in sources_of(instruction)
            if (found := find_stage(stages[: stage.index], name)) is not None
        }
        for index, build in self._done.items():
            if index not in wanted and index not in left:
                await build.close_machine()

    # -- what other stages take from

    async def source_of(self, stage: StageBuild, name: str) -> str:
        """The id of the image that COPY --from means. Raises NotFound, InvalidArgument."""
        image = await self._source(stage, name)
        return image.id if image is not None else SCRATCH

    async def _source(self, stage: StageBuild, name: str) -> Image | None:
        found = earlier(self._dockerfile.stages, stage.stage, name)
        if found is not None:
            assert self._turns is not None
            if not await self._turns.wait(found.index):
                raise InvalidArgument(f"the stage {name[:80]}, from which a trigger copies, is not built")
            return self._done[found.index].image
        if name.isascii() and name.isdigit():
            raise InvalidArgument(f"invalid from flag value {name[:80]}: invalid stage index {name[:80]}")
        return await self._bases.find(name, stage.platform, stage.shop.messages)

    async def machine_of(self, stage: StageBuild, name: str) -> StageMachine:
        """A machine on its files: the stage's own if it has one, else one that is kept until the build ends."""
        found = find_stage(self._dockerfile.stages[: stage.stage.index], name)
        if (
            found is not None
            and (machine := self._done[found.index].machine) is not None
            and not machine.is_full
        ):
            return machine
        image = await self._source(stage, name) or self._parts.images.steps.scratch(stage.platform)
        async with self._opening:
            if image.id not in self._machines:
                spec = self._options.container(image.id, ("true",))
                opening = open_stage_machine(self._parts, spec, image)
                self._machines[image.id] = await self._held.enter_async_context(opening)
        return self._machines[image.id]


class _Count:
    """Which step of how many. first: of each stage, its FROM."""

    def __init__(self, dockerfile: Dockerfile, needed: list[Stage], labels: bool) -> None:
        number = len(dockerfile.arguments) + 1
        self.first: dict[int, int] = {}
        for stage in needed:
            self.first[stage.index] = number
            number += 1 + len(stage.instructions)
        self.total = number - 1 + labels


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _shown_labels(labels: dict[str, str]) -> str:
    return "LABEL " + " ".join(f"{name}={value}" for name, value in sorted(labels.items()))
