"""Options that several commands share, and how mistakes in them are told."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from typing import Any, NoReturn

from textmill.errors import UnknownNameError


class Parser(argparse.ArgumentParser):
    """Tells the nearest command, choice or option where argparse would list all, or none."""

    def error(self, message: str) -> NoReturn:
        """As argparse does, but what was given is shown as `safe` shows it."""
        from textmill.terminal import safe

        super().error(safe(message, max_chars=2000))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            what = (action.metavar if isinstance(action.metavar, str) else action.dest).lower()
            raise argparse.ArgumentError(None, str(UnknownNameError(what, str(value), map(str, action.choices))))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Nothing is left for a parser above: the command that it is meant for knows its options best."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self._refuse(unknown)
        return found, unknown

    def _refuse(self, unknown: Sequence[str]) -> NoReturn:
        given = [argument.partition("=")[0] for argument in unknown if argument.startswith("--")]
        if not given:
            self.error(f"no use for {' '.join(unknown)!r}; see --help")
        options = itertools.chain.from_iterable(action.option_strings for action in self._actions)
        self.error(str(UnknownNameError("option", given[0], (name for name in options if name.startswith("--")))))


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """What commands take that run a DAG."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings", help="a parameter, or REASON.low"
    )
    parser.add_argument("--to", metavar="TABLE", help="stop after this table (pages, documents, ..., tokens, model)")
    parser.add_argument("--strict", action="store_true", help="fail if any byte of an archive cannot be read")
    add_executor(parser)


def add_executor(parser: argparse.ArgumentParser) -> None:
    """Who does the work."""
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--workers", type=positive, metavar="N", help="processes (default: one a core)")
    who.add_argument("--scheduler", metavar="ADDRESS", help="a Dask cluster that exists: tcp://HOST:PORT")
    who.add_argument("--serial", action="store_true", help="everything in this process")


def add_against(parser: argparse.ArgumentParser, help_text: str) -> None:
    """What was kept before."""
    parser.add_argument("--against", nargs="+", action="extend", default=[], metavar="RUN", help=help_text)


def positive(text: str) -> int:
    """A count, as argparse wants its types."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a number, at least 1")
    return int(text)
