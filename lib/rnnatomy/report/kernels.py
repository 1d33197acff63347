"""The kernel that runs a chapter: it leaves nothing in the home, and does not outlive its command.

IPython loads this module in the kernel as an extension.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traitlets.config import Config

ARGUMENTS = ["--log-level=50", f"--IPKernelApp.extra_extensions={__name__}"]
"""Words for the command line of a kernel."""


LONGEST = 100
"""Characters that the path of a socket may have: 104 and 108 are the ends of some systems."""


_SIGNAL_ON_DEATH_OF_PARENT = 1


def config(folder: Path) -> "Config":
    """Configure what starts a kernel: it listens on sockets in a folder of its own, or on ports."""
    from traitlets.config import Config

    # so many seconds has a kernel that is told to end in the middle of a cell
    own = {"connection_file": f"{folder}/kernel.json", "shutdown_wait_time": 2.0}
    sockets = {"transport": "ipc", "ip": f"{folder}/kernel"}
    short = len(f"{folder}/kernel-1") <= LONGEST
    return Config({"KernelManager": own | sockets if short else own})


@contextmanager
def settings(folder: Path) -> Iterator[None]:
    """Let IPython write to a folder; and matplotlib, too, if there is no home to write to."""
    home = Path("~").expanduser()
    usable = home.is_dir() and os.access(home, os.W_OK | os.X_OK)
    given = {"IPYTHONDIR": f"{folder}/ipython"}
    given |= {} if usable else {"MPLCONFIGDIR": f"{folder}/matplotlib"}
    before = {name: os.environ[name] for name in given if name in os.environ}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]
        os.environ.update(before)


def load_ipython_extension(_: Any) -> None:
    """End with the parent: the system sees to it on Linux; elsewhere ipykernel looks each second.

    The signal is sent when the thread ends that started this process.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SIGNAL_ON_DEATH_OF_PARENT, signal.SIGKILL)
        if os.getppid() != int(os.environ.get("JPY_PARENT_PID") or os.getppid()):
            os._exit(1)
