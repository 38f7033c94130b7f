"""Names for containers that were given none: two words that are easy to say."""

import secrets
from collections.abc import Callable

FIRST = (
    "amber", "ample", "brave", "brisk", "calm", "clear", "clever", "cosy", "deft", "eager", "early", "fair",
    "fleet", "fond", "frank", "gentle", "glad", "grand", "hardy", "hazel", "humble", "jolly", "keen", "kind",
    "lively", "lucid", "lunar", "mellow", "merry", "mild", "neat", "noble", "patient", "placid", "plain", "quick",
    "quiet", "ready", "rustic", "sage", "serene", "sharp", "silent", "sober", "solar", "steady", "stout", "sunny",
    "swift", "tidy", "tranquil", "upright", "vivid", "warm", "wise", "witty",
)  # fmt: skip
SECOND = (
    "atoll", "bay", "beacon", "bluff", "cape", "cay", "cliff", "coast", "coral", "cove", "crest", "delta", "dune",
    "fjord", "grove", "gull", "harbour", "haven", "heron", "holm", "inlet", "islet", "jetty", "key", "lagoon",
    "landing", "ledge", "lighthouse", "marsh", "mooring", "palm", "pebble", "pier", "point", "quay", "reef",
    "ridge", "rock", "sandbar", "shoal", "shore", "skerry", "sound", "spit", "strait", "terrace", "tern", "tide",
    "wharf",
)  # fmt: skip


def make_name(is_free: Callable[[str], bool]) -> str:
    """A free name; where the pairs run out, with a number."""
    for digits in (0, 1, 2, 4, 8, 16):
        for _ in range(8):
            number = secrets.token_hex(8)[:digits]
            name = f"{secrets.choice(FIRST)}_{secrets.choice(SECOND)}{number}"
            if is_free(name):
                return name
    return secrets.token_hex(16)
