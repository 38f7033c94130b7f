"""What a build is asked for, checked where it is built; with nothing of JSON or of a query left."""

from dataclasses import dataclass, field

from insula.container.spec import ContainerSpec
from insula.container.spec_limits import Ulimit
from insula.errors import InvalidArgument
from insula.image.download import check_source, is_address
from insula.image.reference import parse_platform, parse_reference
from insula.image.registry.challenge import Credentials

ARGUMENTS_MAX = 1_000
SECRETS_MAX = 50
SECRET_MAX = 65_536
ARCHITECTURES = (
    "386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """dockerfile: its path in the context; remote: the address of a context that is not sent; tags: what the image is
    to be called; arguments: None has the default of the Dockerfile; labels: besides the Dockerfile's; caches: images
    whose steps alone may be used, if any; network, hosts and limits: of the RUN steps, as of a container's (bytes,
    microseconds); platforms: empty is the host's; secrets: by id, for RUN --mount=type=secret; agents: by id, the
    paths of ssh agents' sockets on this host, for --mount=type=ssh; credentials: for pulls, by the registry's
    domain."""

    dockerfile: str = "Dockerfile"
    remote: str = ""
    tags: tuple[str, ...] = ()
    target: str = ""
    arguments: dict[str, str | None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    no_cache: bool = False
    caches: tuple[str, ...] = ()
    pull: bool = False
    quiet: bool = False
    squash: bool = False
    platforms: tuple[str, ...] = ()
    network: str = ""
    hosts: tuple[str, ...] = ()
    memory: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    shm_size: int = 0
    ulimits: tuple[Ulimit, ...] = ()
    security_opt: tuple[str, ...] = ()
    isolation: str = ""
    secrets: dict[str, bytes] = field(default_factory=dict, repr=False)
    agents: dict[str, str] = field(default_factory=dict)
    credentials: dict[str, Credentials] = field(default_factory=dict, repr=False)
    id: str = ""

    def __post_init__(self) -> None:
        """Raises InvalidArgument, NotImplemented."""
        if self.remote:
            check_source(self.remote, "a build")
            if not is_address(self.remote):
                raise InvalidArgument(
                    f"the address of the context is neither http nor https: {self.remote[:200]}"
                )
        for tag in self.tags:
            if parse_reference(tag).digest:
                raise InvalidArgument("build tag cannot contain a digest")
        for platform in self.platforms:
            _check_platform(platform)
        if len(self.arguments) > ARGUMENTS_MAX or len(self.labels) > ARGUMENTS_MAX:
            raise InvalidArgument(f"more than {ARGUMENTS_MAX} build arguments or labels")
        if len(self.secrets) > SECRETS_MAX or any(len(v) > SECRET_MAX for v in self.secrets.values()):
            raise InvalidArgument(f"a build has {SECRETS_MAX} secrets of {SECRET_MAX} bytes at most")
        if len(self.agents) > SECRETS_MAX or not all(path.startswith("/") for path in self.agents.values()):
            raise InvalidArgument(
                f"a build has {SECRETS_MAX} ssh agents at most, each by its socket's full path"
            )
        self.container("any", ("true",))

    def container(self, image: str, command: tuple[str, ...], env: tuple[str, ...] = ()) -> ContainerSpec:
        """A RUN step as a container that is asked for. Raises InvalidArgument, NotImplemented."""
        return ContainerSpec(
            image=image, entrypoint=(), cmd=command, env=env, attach_stdout=True,
            attach_stderr=True, network_mode=self.network, extra_hosts=self.hosts, memory=self.memory,
            memory_swap=self.memory_swap, cpu_shares=self.cpu_shares, cpu_period=self.cpu_period,
            cpu_quota=self.cpu_quota, cpuset_cpus=self.cpuset_cpus, cpuset_mems=self.cpuset_mems,
            shm_size=self.shm_size, ulimits=self.ulimits, security_opt=self.security_opt,
            isolation=self.isolation, auto_remove=True, log_driver="none",
        )  # fmt: skip


def _check_platform(text: str) -> None:
    try:
        platform = parse_platform(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid platform: {error.message}") from error
    if platform.os != "linux" or platform.architecture not in ARCHITECTURES:
        raise InvalidArgument(f'invalid platform: "{text[:80]}": unknown operating system or architecture')
