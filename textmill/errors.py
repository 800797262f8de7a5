"""The errors that textmill raises on purpose.

    TextmillError
    ├── UserError              a mistake in what was asked for; one line, exit status 2
    │   ├── UnknownNameError   a name that does not exist; the line gives the nearest one that does
    │   ├── InputError         an input that is missing, empty, unreadable or of the wrong kind
    │   └── WorkspaceError     an output folder that cannot be used as asked
    ├── EnvironmentFault       the machine lacks something (a package, a model, space); stops the run, exit status 2
    │   ├── MissingExtraError  a package of an optional extra is not installed
    │   └── Unreached          an object store that does not do as it is asked
    └── InvariantError         a bug in textmill (rows lost, a wrong type, a stray null); shown with a traceback

A bad *record* is no error: it is a row with a status.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

# What an OSError is about when the machine is to blame, and not textmill.
MACHINE_FAULTS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG),
)


class TextmillError(Exception):
    """Base of all errors that textmill raises on purpose."""


class UserError(TextmillError):
    """A mistake in what was asked for. The message says what, where, and what to do."""


class UnknownNameError(UserError):
    """A name that does not exist. The message lists the nearest valid name, or all of them when none is near."""

    def __init__(self, what: str, name: str, valid: Iterable[str]) -> None:
        names = sorted(valid)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"valid names: {', '.join(names) or 'none'}"
        super().__init__(f"unknown {what} {name!r}; {hint}")
        self._arguments = (what, name, names)

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, list[str]]]:
        return type(self), self._arguments


class InputError(UserError):
    """An input that is missing, empty, unreadable or of the wrong kind."""


class WorkspaceError(UserError):
    """An output folder that cannot be used as asked."""


class EnvironmentFault(TextmillError):  # noqa: N818 - it is the machine's fault, not an error of the user
    """The machine lacks something that the run needs. Never turned into dropped documents."""


class MissingExtraError(EnvironmentFault):
    """A package of an optional extra is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package!r} is not installed; install it with: pip install 'textmill[{extra}]'")
        self._arguments = (package, extra)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), self._arguments


class Unreached(EnvironmentFault):
    """An object store did not do as it was asked; another try may help. ``is_silent``: nobody answers there."""

    def __init__(self, uri: str, reason: str, is_silent: bool) -> None:
        remedy = "is this machine online?" if is_silent else "run the same command again later"
        super().__init__(f"{uri}: cannot be reached ({reason}); {remedy}")
        self._arguments = self.uri, self.reason, self.is_silent = uri, reason, is_silent

    def __reduce__(self) -> tuple[type[Unreached], tuple[str, str, bool]]:
        return type(self), self._arguments


class InvariantError(TextmillError):
    """A bug in textmill, caught where it would have become wrong data."""
