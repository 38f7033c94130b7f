"""One stage being built: its image so far, step by step, from the cache where a step was done before.

Every step goes the same way: its words and what it depends on make a key; what has that key is used, and anything
else is done and kept as an image with a history of one more line. Once a step had to be done, all that follow
have to be.
"""

import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from insula.build.arguments import Arguments
from insula.build.bind_mounts import Bound
from insula.build.cache import StepCache, step_key
from insula.build.copying import Copy, Wish
from insula.build.dockerfile import Stage, flags_of
from insula.build.expand import expand
from insula.build.messages import Messages
from insula.build.metadata import Change, change_config, workdir_of
from insula.build.options import BuildOptions
from insula.build.parser import Instruction, fail, reparse, split_words
from insula.build.running import BindMount, CacheMount, Given, SshMount, plan_run
from insula.build.stage_machine import Agent, CopyStep, RunStep, StageMachine, Take, open_stage_machine
from insula.build.taking import Taking, read_mode, read_owner
from insula.container.parts import Parts
from insula.container.settings import PATH
from insula.errors import InvalidArgument
from insula.image.manifest import ImageConfig
from insula.image.record import Image
from insula.image.reference import ImagePlatform
from insula.image.steps import NewLayer, empty_document, make_config
from insula.thread import in_thread
from insula.volume.source import find_source

NOP = "/bin/sh -c #(nop) "
Work = Callable[[Take], Awaitable[NewLayer]]


class DamagedCache(InvalidArgument):
    """What the cache had cannot be run: the build begins anew without it."""


class Others(Protocol):
    """The stages and images that a stage takes files from."""

    async def source_of(self, stage: "StageBuild", name: str) -> str:
        """The id of the image that is meant. Raises NotFound, InvalidArgument."""

    async def machine_of(self, stage: "StageBuild", name: str) -> StageMachine:
        """A machine on its files."""


@dataclass(frozen=True, slots=True)
class Shop:
    """What all stages of one build share. usable: the images that the cache may answer with; None: any."""

    parts: Parts
    options: BuildOptions
    arguments: Arguments
    cache: StepCache
    messages: Messages
    taking: Taking
    held: AsyncExitStack
    usable: frozenset[str] | None


@dataclass(slots=True)
class StageBuild:
    """image: None before the first step on nothing; base: what it was to begin with; missed: a step had to be done;
    used: one came from the cache; opened: a machine has run on it; cmd_set: by this stage."""

    shop: Shop
    others: Others
    stage: Stage
    platform: ImagePlatform
    escape: str
    image: Image | None
    document: dict[str, Any] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    missed: bool = False
    used: bool = False
    opened: bool = False
    cmd_set: bool = False
    machine: StageMachine | None = None
    base: Image | None = None

    def begin(self) -> list[Instruction]:
        """The config of the base, and its triggers, which are instructions of this stage."""
        self.base = self.image
        self.document = (
            empty_document(self.platform) if self.image is None else json.loads(self.image.config.raw)
        )
        for name in ("container", "container_config", "docker_version"):  # of another engine's making
            self.document.pop(name, None)
        config = self.document["config"] = dict(self.document.get("config") or {})
        triggers = config.pop("OnBuild", None) or []
        if not any(item.startswith("PATH=") for item in config.get("Env") or ()):
            config["Env"] = [*(config.get("Env") or ()), f"PATH={PATH}"]
        return [reparse(self.stage.from_, str(text)) for text in triggers]

    # -- what is known

    @property
    def env(self) -> dict[str, str]:
        config = self.document["config"]
        return dict(item.partition("=")[::2] for item in config.get("Env") or ())

    @property
    def values(self) -> dict[str, str]:
        """Of variables: ENV goes over ARG."""
        return {**self.known, **self.env}

    def _config(self) -> ImageConfig:
        return make_config({**self.document, "rootfs": {"type": "layers", "diff_ids": []}})

    def _words(self, instruction: Instruction) -> list[str]:
        raw = list(instruction.words) if instruction.words is not None else split_words(instruction.text)
        return [self._expand(instruction, word) for word in raw]

    def _expand(self, instruction: Instruction, text: str, *, keeps: bool = False) -> str:
        try:
            return expand(text, self.values, self.escape, keeps=keeps)
        except InvalidArgument as error:
            raise fail(instruction.line, error.message) from error

    # -- steps

    async def do(self, instruction: Instruction) -> None:
        """Raises InsulaError."""
        if instruction.name == "ARG":
            found = self.shop.arguments.declare(instruction, self.values, self.escape)
            self.known |= found
            await self._step(f"{NOP} ARG {instruction.text}", None)
        elif instruction.name == "RUN":
            await self._run(instruction)
        elif instruction.name in ("COPY", "ADD"):
            await self._copy(instruction)
        elif instruction.name == "WORKDIR":
            await self._workdir(instruction)
        else:
            change = Change(self.document, self.values, self.escape, self.cmd_set)
            words = change_config(change, instruction)
            self.cmd_set = change.cmd_set
            await self._step(f"{NOP} {words}", None)

    async def label(self, labels: dict[str, str]) -> None:
        """Those that the build was asked for, as a step of their own."""
        config = self.document["config"]
        config["Labels"] = {**(config.get("Labels") or {}), **labels}
        shown = " ".join(f"{name}={value}" for name, value in sorted(labels.items()))
        await self._step(f"{NOP} LABEL {shown}", None)

    async def _step(self, words: str, work: Work | None, depends: Any = None, id: str = "") -> None:
        """words: as history tells it; depends: what else makes a difference; id: that a container is shown by."""
        shop = self.shop
        epoch = shop.arguments.epoch()
        before = self.image.id if self.image is not None else f"scratch {self.platform}"
        key = step_key(before, words, [depends, epoch, self.document["config"]])
        found = None if self.missed or shop.options.no_cache else await shop.cache.find(key)
        if found is not None and (shop.usable is None or found.id in shop.usable):
            await shop.messages.cached()
            self.used = True
            self._take(found)
        else:
            self.missed = True
            if id:
                await shop.messages.running(id)
            steps = shop.parts.images.steps
            async with steps.staging() as path:
                layer = None
                if work is not None:
                    layer = await work(lambda stream: steps.receive(stream, path))
                self._take(await self._add(words, layer, epoch))
            assert self.image is not None
            await shop.cache.put(key, self.image)
            if id:
                await shop.messages.removed(id)
        await shop.messages.image(self.image)

    def _take(self, image: Image) -> None:
        self.shop.cache.held[image.id] += 1  # until the build ends nobody prunes it
        self.shop.held.callback(self.shop.cache.held.subtract, [image.id])
        self.image = image
        self.document = json.loads(image.config.raw)

    async def _add(self, words: str, layer: NewLayer | None, epoch: int | None) -> Image:
        moment = datetime.now(UTC) if epoch is None else datetime.fromtimestamp(epoch, UTC)
        created = moment.isoformat().replace("+00:00", "Z")
        entry: dict[str, Any] = {"created": created, "created_by": words}
        if self.document.get("author"):
            entry["author"] = self.document["author"]
        if layer is None or not layer.digest:
            entry["empty_layer"] = True
        history = [*(self.document.get("history") or ()), entry]
        document = {**self.document, "created": created, "history": history}
        return await self.shop.parts.images.steps.add(self.image, layer, document)

    # -- in the machine

    async def ensure_machine(self) -> StageMachine:
        """The stage's machine, on its image as it is now."""
        if self.machine is not None and self.machine.is_full:
            await self.close_machine()
        if self.machine is None:
            base = self.image or self.shop.parts.images.steps.scratch(self.platform)
            spec = self.shop.options.container(base.id, ("true",))
            opening = open_stage_machine(self.shop.parts, spec, base)
            try:
                self.machine = await self.shop.held.enter_async_context(opening)
                self.opened = True
            except InvalidArgument as error:
                if self.used:
                    raise DamagedCache(str(error)) from error
                raise
        return self.machine

    async def close_machine(self) -> None:
        """The next step that needs one has a new one."""
        if self.machine is not None:
            machine, self.machine = self.machine, None
            await machine.close()

    async def _run(self, instruction: Instruction) -> None:
        instruction = replace(instruction, flags=tuple(self._flag(instruction, f) for f in instruction.flags))
        config, options = self.document["config"], self.shop.options
        shell = tuple(config.get("Shell") or ())
        given_by = Given(options.secrets, options.agents)
        running = plan_run(instruction, shell, given_by, config.get("WorkingDir") or "/")
        env = self.env
        given = {name: value for name, value in self.known.items() if name not in env}
        hidden = {n: v for n, v in self.shop.arguments.proxies().items() if n not in env and n not in given}
        told = [f"{name}={value}" for name, value in sorted(given.items())]
        words = " ".join([*([f"|{len(told)}", *told] if told else []), running.words])

        known = [await self._known_bind(instruction, bind) for bind in running.binds]
        caches = [await self._known_cache(cache) for cache in running.caches]

        async def work(take: Take) -> NewLayer:
            pairs = zip(running.binds, known, strict=True)
            binds = [Bound(b, k if isinstance(k, Copy) else await self._taken(b)) for b, k in pairs]
            machine = await self.ensure_machine()
            extra = (*told, *(f"{name}={value}" for name, value in hidden.items()), *running.env)
            spec = options.container("build", running.command, extra)
            step = RunStep(
                spec, self._config(), running.offline, running.mounts, running.files, tuple(caches), tuple(binds),
                running.hidden, self.shop.arguments.epoch(), tuple([await _agent(one) for one in running.agents]),
                self._taken,
            )  # fmt: skip
            return await machine.run(step, take, self.shop.messages.output)

        depends = [list(instruction.flags), options.network, list(options.hosts)]
        depends += [cache.id for cache in caches if cache.from_]
        depends += [await in_thread(one.digest) if isinstance(one, Copy) else one for one in known]
        await self._step(words, work, depends, secrets.token_hex(32))

    def _flag(self, instruction: Instruction, flag: str) -> str:
        """A RUN's flag with the variables of a mount replaced. Raises InvalidArgument."""
        name, _, text = flag.partition("=")
        if name != "--mount":
            return flag
        found = []
        for item in text.split(","):
            key, equals, value = item.partition("=")
            if key == "from" and "$" in value:
                raise fail(
                    instruction.line, "'from' doesn't support variable expansion, define alias stage instead"
                )
            found.append(f"{key}{equals}{self._expand(instruction, value)}")
        return f"{name}={','.join(found)}"

    async def _known_bind(self, instruction: Instruction, bind: BindMount) -> Copy | str:
        """The files of a bind mount, if they are the context's; else the id of the image that has them."""
        if bind.from_:
            return await self.others.source_of(self, bind.from_)
        return await self.shop.taking.from_context(instruction, [bind.source], Wish(), lambda text: text)

    async def _known_cache(self, cache: CacheMount) -> CacheMount:
        """One that begins with the files of an image is another than one that begins with those of another."""
        if not cache.from_:
            return cache
        return replace(
            cache, id=f"{cache.id} of {await self.others.source_of(self, cache.from_)} {cache.source}"
        )

    async def _taken(self, mount: BindMount | CacheMount) -> Copy:
        """Another stage's or image's files, for a mount."""
        return await self._take_from("RUN", mount.from_, [mount.source], Wish(owner=None))

    async def _take_from(self, name: str, other: str, sources: list[str], wish: Wish) -> Copy:
        machine = await self.others.machine_of(self, other)
        async with machine.lock:
            return await self.shop.taking.from_machine(name, machine, sources, wish)

    async def _workdir(self, instruction: Instruction) -> None:
        change = Change(self.document, self.values, self.escape)
        path = workdir_of(change, instruction)
        change.config["WorkingDir"] = path

        async def work(take: Take) -> NewLayer:
            machine = await self.ensure_machine()
            step = CopyStep((), path, epoch=self.shop.arguments.epoch())
            return await machine.copy(step, take)

        await self._step(f"{NOP} WORKDIR {path}", None if path == "/" else work)

    # -- COPY and ADD

    async def _copy(self, instruction: Instruction) -> None:
        *sources, target = self._words(instruction)
        flags = {
            name: [self._expand(instruction, value) for value in values]
            for name, values in flags_of(instruction).items()
        }
        folder, is_folder = self._destination(target)
        if len(sources) > 1 and not is_folder:
            raise InvalidArgument(
                f"When using {instruction.name} with more than one source file, the destination must be a directory "
                "and end with a /"
            )
        wish, owner = _wish(flags)
        from_ = flags.get("from", [""])[0]
        if from_:
            id = await self.others.source_of(self, from_)
            copy, depends, words = None, [id, sources, list(instruction.flags)], f"{' '.join(sources)}"
        else:
            copy = await self.shop.taking.from_context(
                instruction, sources, wish, lambda text: self._expand(instruction, text, keeps=True)
            )
            depends, words = [owner], f"{copy.kind}:{await in_thread(copy.digest)}"

        async def work(take: Take) -> NewLayer:
            taken = copy
            if taken is None:
                taken = await self._take_from(instruction.name, from_, sources, wish)
            return await self._write(taken, folder, is_folder, owner, take)

        await self._step(f"{NOP}{instruction.name} {words} in {target} ", work, [depends, folder])

    async def _write(self, copy: Copy, folder: str, is_folder: bool, owner: str, take: Take) -> NewLayer:
        machine = await self.ensure_machine()
        rename = copy.single and not is_folder
        step = CopyStep(tuple(copy.items), folder, rename, owner, self.shop.arguments.epoch())
        return await machine.copy(step, take)

    def _destination(self, target: str) -> tuple[str, bool]:
        """The path from the root, and whether it is written as a folder."""
        base = self.document["config"].get("WorkingDir") or "/"
        path = target if target.startswith("/") else f"{base.rstrip('/')}/{target}"
        is_folder = target.endswith(("/", "/.", "/..")) or target in (".", "..")
        parts: list[str] = []
        for part in path.split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        return "/" + "/".join(parts), is_folder or not parts


async def _agent(ssh: SshMount) -> Agent:
    """Its links are followed here, once, where nobody but the host's own users has made any. Raises InvalidArgument,
    Unavailable."""
    found = await in_thread(find_source, Path(ssh.source))
    if found.socket is None:
        raise InvalidArgument(f"the ssh agent at {ssh.source[:200]} is no socket")
    return Agent(ssh.mount, found.path)


def _wish(flags: dict[str, list[str]]) -> tuple[Wish, str]:
    """How the files are wanted, and the name whose they are to be. Raises InvalidArgument."""
    mode = read_mode(flags["chmod"][0]) if "chmod" in flags else None
    ids, owner = read_owner(flags["chown"][0]) if flags.get("chown", [""])[0] else (None, "")
    if ids is None and "from" not in flags:
        ids = (0, 0)
    wish = Wish(
        mode,
        ids,
        parents=flags.get("parents", ["false"])[0] == "true",
        excludes=tuple(flags.get("exclude", ())),
        checksum=flags.get("checksum", [""])[0],
        unpacks=flags.get("unpack", ["true"])[0] == "true",
    )
    return wish, owner
