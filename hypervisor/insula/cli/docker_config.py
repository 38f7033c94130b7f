"""Docker's own configuration file, as far as it says who we are to registries, used as `docker` itself does.

    {"auths": {"HOST": {"auth": "BASE64(NAME:PASSWORD)"}}, "credsStore": "NAME", "credHelpers": {"HOST": "NAME"}}

A helper is the program docker-credential-NAME, asked by its standard input. What else is in the file stays as it is.
The file is replaced whole, private to its user; where it is a link, what the link leads to.
"""

import base64
import json
import os
import re
import tempfile
from typing import Any

from insula.cli.failure import Failure

HUB = "https://index.docker.io/v1/"
HELPER_SECONDS = 60
HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
NOT_FOUND = "credentials not found in native keychain"
TOKEN_USER = "<token>"
Auth = dict[str, str]


def config_path() -> str:
    """$DOCKER_CONFIG/config.json, else ~/.docker/config.json."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    return os.path.join(folder, "config.json")


def read_config() -> dict[str, Any]:
    """The file's object; empty without a file. Raises Failure."""
    path = config_path()
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read() or b"{}")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Failure(f"{path} is not JSON") from error
    if not isinstance(document, dict):
        raise Failure(f"{path} is not a JSON object")
    return document


def key_of(server: str) -> str:
    """What a registry is called in the file: the Hub by an address of old, others by host and port."""
    host = server.partition("://")[2] if "://" in server else server
    host = host.partition("/")[0]
    return HUB if host in ("", "docker.io", "index.docker.io", "registry-1.docker.io") else host


def find_auth(server: str) -> Auth:
    """Credentials for a registry, in the API's words (username, password, identitytoken, serveraddress); none are an
    empty object. Raises Failure for a file or a helper that does not work."""
    key, config = key_of(server), read_config()
    if helper := helper_of(config, key):
        return ask_helper(helper, key)
    auths = section(config, "auths")
    entry = auths.get(key)
    if entry is None:  # kept under an address by some clients
        entry = next((value for name, value in auths.items() if key_of(name) == key), None)
    if not isinstance(entry, dict):
        return {}
    found = {
        name: entry[name] for name in ("identitytoken", "registrytoken") if isinstance(entry.get(name), str)
    }
    if isinstance(entry.get("auth"), str) and entry["auth"]:
        try:
            name, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        except ValueError as error:
            raise Failure(f"{config_path()}: the credentials of {key} are not base64") from error
        found |= {"username": name, "password": password.rstrip("\0")}
    return {**found, "serveraddress": key} if found else {}


def section(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def encode_auth(auth: Auth) -> str:
    """The value of an X-Registry-Auth header."""
    return base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()


# -- keeping


def keep_auth(server: str, auth: Auth) -> str:
    """Keeps credentials; tells where, or nothing if a helper has them. Raises Failure."""
    key, config = key_of(server), read_config()
    if helper := helper_of(config, key):
        token = auth.get("identitytoken")
        secret = {"ServerURL": key, "Username": TOKEN_USER if token else auth["username"],
                  "Secret": token or auth["password"]}  # fmt: skip
        call_helper(helper, "store", json.dumps(secret).encode())
        config["auths"] = {**section(config, "auths"), key: {}}
        write_config(config)
        return ""
    joined = f"{auth['username']}:{auth.get('password', '')}".encode()
    entry = {"auth": base64.b64encode(joined).decode()}
    if auth.get("identitytoken"):
        entry = {"auth": base64.b64encode(f"{auth['username']}:".encode()).decode(),
                 "identitytoken": auth["identitytoken"]}  # fmt: skip
    config["auths"] = {**section(config, "auths"), key: entry}
    write_config(config)
    return config_path()


def erase_auth(server: str) -> bool:
    """Forgets credentials; False if there were none. Raises Failure."""
    key, config = key_of(server), read_config()
    auths = section(config, "auths")
    names = [name for name in auths if key_of(name) == key]
    if helper := helper_of(config, key):
        call_helper(helper, "erase", key.encode())
    if names:
        config["auths"] = {name: value for name, value in auths.items() if name not in names}
        write_config(config)
    return bool(names)


def write_config(config: dict[str, Any]) -> None:
    """Raises Failure."""
    path = os.path.realpath(config_path())
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        fd, staged = tempfile.mkstemp(prefix="config.json", dir=folder)  # 0600
        try:
            with os.fdopen(fd, "w") as file:
                json.dump(config, file, indent="\t")
                file.flush()
                os.fsync(file.fileno())
            os.rename(staged, path)
        except BaseException:
            os.unlink(staged)
            raise
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from error


# -- helpers


def helper_of(config: dict[str, Any], key: str) -> str:
    """The helper that has a registry's credentials, or empty. Raises Failure for a name that is none."""
    name = section(config, "credHelpers").get(key) or config.get("credsStore") or ""
    if name and not (isinstance(name, str) and HELPER_NAME.fullmatch(name)):
        raise Failure(f"{config_path()}: {name!r} is no credential helper's name")
    return str(name)


def ask_helper(helper: str, key: str) -> Auth:
    """Raises Failure."""
    answer = call_helper(helper, "get", key.encode())
    if answer is None:
        return {}
    try:
        document = json.loads(answer)
        name, secret = str(document["Username"]), str(document["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"docker-credential-{helper} gave no usable answer") from error
    if name == TOKEN_USER:
        return {"identitytoken": secret, "serveraddress": key}
    return {"username": name, "password": secret, "serveraddress": key}


def call_helper(helper: str, act: str, data: bytes) -> bytes | None:
    """What it says; None if it has nothing for that registry. Raises Failure."""
    import subprocess

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, act], input=data, capture_output=True, timeout=HELPER_SECONDS, check=False
        )
    except OSError as error:
        raise Failure(f"cannot run {program}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{program} did not answer within {HELPER_SECONDS} s") from error
    if done.returncode == 0:
        return done.stdout
    said = (done.stdout.strip() or done.stderr.strip()).decode(errors="replace")
    if NOT_FOUND in said:
        return None
    raise Failure(f"{program} {act} failed: {said[:200]}")
