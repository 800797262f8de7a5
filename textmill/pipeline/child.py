"""The guarded child process: ``python -m textmill.pipeline.child PARENT CELL IDLE_S``, started by `pipeline.guard`.

It reads one JSON request a line from its standard input and answers with one line (`pipeline.serve`). Nothing else
reaches the answers: what a library prints goes to standard error. It dies with its parent, leaves no core dump, is the
first that the kernel kills for want of memory, and sees no Ctrl-C, which is for its parent.

Not limited by ``RLIMIT_DATA`` or ``RLIMIT_AS``: resiliparse reports a failed allocation as a parse error ("Error 2")
that cannot be told from others, and what a library makes of half a tree is not known. The parent looks at memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import resource
import signal
import sys
import traceback
from pathlib import Path

from textmill.process import lean

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, cell_file, idle_s = sys.argv[1:]
    isolate(int(parent))
    lean()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from textmill.pipeline.serve import serve  # heavy

    serve(int(cell_file), float(idle_s), answers)


def isolate(parent: int) -> None:
    """Tie this process to its parent, and keep its crashes from hurting others."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # a container may forbid it
        Path("/proc/self/oom_score_adj").write_text("1000")
    faulthandler.enable()


def end_at_once() -> None:
    """Tell of the exception that is being handled, and end. To end as usual may take longer than the parent waits."""
    try:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        end_at_once()
