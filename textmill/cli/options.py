"""Options that several commands share."""

from __future__ import annotations

import argparse


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
