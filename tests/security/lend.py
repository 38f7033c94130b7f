"""Lends files to a command as the daemon lends them to a jail, and becomes that command.

python lend.py FILE… -- COMMAND…        {0} in the command: the first file's descriptor, {1} the second's
"""

import os
import sys
from pathlib import Path

from insula.lent import open_lent_blocking

if __name__ == "__main__":
    at = sys.argv.index("--")
    lent = [open_lent_blocking(Path(name)) for name in sys.argv[1:at]]
    for descriptor in lent:
        os.set_inheritable(descriptor, True)
    command = [word.format(*lent) if word[:1] == "{" else word for word in sys.argv[at + 1 :]]
    os.execv(command[0], command)
