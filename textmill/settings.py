"""Values that are set by name, as text: ``NAME=VALUE``, each converted to the type of what it sets."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textmill.errors import UnknownNameError, UserError

NONE = "none"
BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Parameter:
    """One knob of a function or a dataclass."""

    name: str
    kind: Any
    default: Any


def parameters(of: Callable[..., Any]) -> dict[str, Parameter]:
    """The knobs of a function or a dataclass, by name."""
    kinds = typing.get_type_hints(of)
    signature = inspect.signature(of).parameters.values()
    return {p.name: Parameter(p.name, kinds[p.name], p.default) for p in signature}


def parse_values(known: Mapping[str, Parameter], settings: Sequence[str]) -> dict[str, Any]:
    """The values of ``NAME=VALUE`` texts, by name; several values come comma-separated, or given again.

    Errors: `UserError` for a text without "=" or a value of the wrong type, `UnknownNameError` for an unknown name.
    """
    values: dict[str, Any] = {}
    for name, text in map(split_setting, settings):
        if name not in known:
            raise UnknownNameError("parameter", name, known)
        value = _convert(known[name], text)
        values[name] = values[name] + value if isinstance(value, tuple) and name in values else value
    return values


def split_setting(setting: str) -> tuple[str, str]:
    """``NAME=VALUE`` as two texts. Errors: `UserError` without "="."""
    name, equals, text = setting.partition("=")
    if not equals:
        raise UserError(f"--set {setting}: write it as NAME=VALUE")
    return name, text


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """``NAME was A, now B`` for each value that is another now."""
    return [f"{name} was {before[name]}, now {now[name]}" for name in now if before[name] != now[name]]


def _convert(parameter: Parameter, text: str) -> Any:
    kind, may_be_none = _without_none(parameter.kind)
    if may_be_none and text == NONE:
        return None
    try:
        if kind is bool:
            return BOOLEANS[text.lower()]
        if typing.get_origin(kind) is tuple:
            item = typing.get_args(kind)[0]
            return tuple(item(part) for part in text.split(",") if part)
        return kind(text)
    except (ValueError, KeyError) as error:
        wanted = getattr(kind, "__name__", str(kind)) + (f" (or {NONE})" if may_be_none else "")
        raise UserError(f"--set {parameter.name}={text}: {text!r} is not a value of type {wanted}") from error


def _without_none(kind: Any) -> tuple[Any, bool]:
    """The type, and whether None may stand for a value of it."""
    if typing.get_origin(kind) not in (types.UnionType, typing.Union):
        return kind, False
    (inner,) = (part for part in typing.get_args(kind) if part is not types.NoneType)
    return inner, True
