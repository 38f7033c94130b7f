"""login, logout: credentials for registries, kept in Docker's configuration file or by its helpers."""

import sys

from insula.cli.docker_config import Auth, erase_auth, find_auth, keep_auth, key_of
from insula.cli.failure import Failure, UsageFailure
from insula.cli.flags import BOOL, TEXT, Flag
from insula.cli.terminal import is_terminal
from insula.cli.verb import Call, Verb

PASSWORD_MAX = 64 << 10


def login(call: Call) -> int:
    """Asks the registry before anything is kept. Without a name on the command line, kept credentials are tried."""
    options = call.options
    server = options.arguments[0] if options.arguments else ""
    auth: Auth = {}
    if not options.given("username") and not options.flag("password-stdin"):
        auth = find_auth(server)
        if auth:
            print("Authenticating with existing credentials...")
            try:
                return log_in(call, server, auth, keep=False)
            except Failure as failure:
                print(f"Login did not succeed, error: {failure.message}", file=sys.stderr)
    name, password = ask(call)
    return log_in(call, server, {"username": name, "password": password}, keep=True)


def log_in(call: Call, server: str, auth: Auth, *, keep: bool) -> int:
    """Raises Failure."""
    key = key_of(server)
    answer = call.client.call("POST", "/auth", body={**auth, "serveraddress": key}, notice=f"asking {key}")
    if keep:
        token = str(answer.get("IdentityToken") or "")
        place = keep_auth(server, {**auth, "identitytoken": token} if token else auth)
        if place:
            print(f"WARNING! Your credentials are stored unencrypted in '{place}'.", file=sys.stderr)
    print(answer.get("Status") or "Login Succeeded")
    return 0


def ask(call: Call) -> tuple[str, str]:
    """Name and password, from the command line, stdin or the terminal. Raises UsageFailure, Failure."""
    options = call.options
    name = options.text("username")
    if options.flag("password-stdin"):
        if options.given("password"):
            raise UsageFailure("--password and --password-stdin are mutually exclusive")
        if not name:
            raise UsageFailure("must provide --username with --password-stdin")
        return name, sys.stdin.read(PASSWORD_MAX).removesuffix("\n").removesuffix("\r")
    if options.given("password"):
        print("WARNING! Using --password via the CLI is insecure. Use --password-stdin.", file=sys.stderr)
        if not name:
            raise UsageFailure("must provide --username with --password")
        return name, options.text("password")
    if not is_terminal(0):
        raise Failure("cannot ask for a password: stdin is no terminal (use --password-stdin)")
    import getpass

    name = name or input("Username: ").strip()
    password = getpass.getpass("Password: ")
    if not name or not password:
        raise Failure("username and password are required")
    return name, password


def logout(call: Call) -> int:
    server = call.options.arguments[0] if call.options.arguments else ""
    shown = key_of(server)
    if erase_auth(server):
        print(f"Removing login credentials for {shown}")
    else:
        print(f"Not logged in to {shown}")
    return 0


VERBS = {
    "login": Verb("[OPTIONS] [SERVER]", "Log in to a registry", login, (
        Flag("password", "p", TEXT, "Password (others can see it: better --password-stdin)"),
        Flag("password-stdin", "", BOOL, "Take the password from stdin"),
        Flag("username", "u", TEXT, "Username"),
    ), most=1),
    "logout": Verb("[SERVER]", "Forget a registry's credentials", logout, most=1),
}  # fmt: skip
