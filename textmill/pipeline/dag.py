"""DAGs: Python functions that return their last stage, and whose parameters are the knobs.

A DAG is found by name (those that come with textmill) or by path (``my.py``, or ``my.py:function``). Its parameters
are set from the command line by name; ``REASON.low=VALUE`` and ``REASON.high=VALUE`` set the bound of a rule, which is
switched off when both are ``none``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from textmill.errors import UnknownNameError, UserError
from textmill.filters.base import Rule
from textmill.pipeline.own_code import load_file
from textmill.pipeline.stage import Stage
from textmill.pipeline.stages.scores import Decide
from textmill.settings import parameters, parse_values, split_setting

Dag = Callable[..., Stage]
BOUNDS = ("low", "high")
NO_BOUND = ("", "none")


def load_dag(address: str) -> Dag:
    """The DAG that ``address`` names. Errors: `UnknownNameError`, `InputError`."""
    path, _, function = (address, "", "") if address.endswith(".py") else address.rpartition(":")
    if path.endswith(".py"):
        module = load_file(Path(path))
        name = function or Path(path).stem
        candidates = [n for n, value in vars(module).items() if inspect.isfunction(value) and not n.startswith("_")]
    else:
        if address not in dag_names():
            raise UnknownNameError("DAG", address, dag_names())
        module, name, candidates = importlib.import_module(f"textmill.dags.{address}"), address, [address]
    if name not in candidates:
        raise UnknownNameError(f"function in {path}:", name, candidates)
    return typing.cast(Dag, getattr(module, name))


def dag_names() -> list[str]:
    """Names of the DAGs that come with textmill."""
    import textmill.dags

    return sorted(module.name for module in pkgutil.iter_modules(textmill.dags.__path__))


def parse_settings(dag: Dag, settings: Sequence[str]) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Split ``NAME=VALUE`` texts into parameters of the DAG and bounds of rules (reason -> bound -> text).

    A parameter that holds several values takes them comma-separated, or given again.
    Errors: `UserError` for a text without "=", an unknown name, or a value of the wrong type.
    """
    bounds: dict[str, dict[str, str]] = {}
    ordinary = []
    for setting in settings:
        name, bound, text = _split(setting)
        if bound:
            bounds.setdefault(name, {})[bound] = text
        else:
            ordinary.append(setting)
    return parse_values(parameters(dag), ordinary), bounds


def parse_bounds(settings: Sequence[str]) -> dict[str, dict[str, str]]:
    """Bounds of rules (reason -> bound -> text) from ``REASON.low=VALUE`` texts. Errors: `UserError`."""
    bounds: dict[str, dict[str, str]] = {}
    for setting in settings:
        reason, bound, text = _split(setting)
        if not bound:
            raise UserError(
                f"--set {setting}: not a bound of a rule; write it as REASON.low=VALUE or REASON.high=VALUE"
            )
        bounds.setdefault(reason, {})[bound] = text
    return bounds


def _split(setting: str) -> tuple[str, str, str]:
    """``NAME=VALUE`` as (name, "", value); ``REASON.BOUND=VALUE`` as (reason, bound, value)."""
    name, text = split_setting(setting)
    reason, _, bound = name.rpartition(".")
    if reason and bound not in BOUNDS:
        raise UnknownNameError(f"bound of {reason!r}:", bound, BOUNDS)
    return (reason, bound, text) if reason else (name, "", text)


def build(dag: Dag, values: Mapping[str, Any], bounds: Mapping[str, Mapping[str, str]]) -> Stage:
    """The pipeline of a DAG with its parameters set and the bounds of its rules changed."""
    missing = [
        p.name for p in parameters(dag).values() if p.default is inspect.Parameter.empty and p.name not in values
    ]
    if missing:
        raise UserError(f"{dag.__name__} needs a value for: {', '.join(missing)} (--set {missing[0]}=...)")
    target = dag(**values)
    if not isinstance(target, Stage):
        raise UserError(f"DAG {dag.__name__!r} returned {type(target).__name__}, not a stage")
    return _with_bounds(target, bounds) if bounds else target


def cut(target: Stage, name: str) -> Stage:
    """The part of a pipeline that makes the table ``name``. Errors: `UnknownNameError`."""
    stages = {stage.name: stage for stage in target.ancestry()}
    if name not in stages:
        raise UnknownNameError("stage", name, stages)
    return stages[name]


def _with_bounds(target: Stage, bounds: Mapping[str, Mapping[str, str]]) -> Stage:
    decides = [stage for stage in target.ancestry() if isinstance(stage, Decide)]
    changed = iter(change_bounds([rule for stage in decides for rule in stage.rules], bounds))

    def change(stage: Stage) -> Stage:
        if not isinstance(stage, Decide):
            return stage
        rules = [next(changed) for _ in stage.rules]
        return replace(stage, rules=tuple(rule for rule in rules if rule is not None))

    return target.rebuild(change)


def change_bounds(rules: Sequence[Rule], bounds: Mapping[str, Mapping[str, str]]) -> list[Rule | None]:
    """The rules with some bounds changed; None for one that has none left, and so is switched off.

    Errors: `UnknownNameError` for a reason that no rule has, `UserError` for a text that is no bound.
    """
    reasons = [rule.reason for rule in rules]
    for reason in bounds:
        if reason not in reasons:
            raise UnknownNameError("rule", reason, reasons)
    return [_with_own_bounds(rule, bounds.get(rule.reason, {})) for rule in rules]


def _with_own_bounds(rule: Rule, texts: Mapping[str, str]) -> Rule | None:
    bounds = {bound: getattr(rule, bound) for bound in BOUNDS}
    for bound, text in texts.items():
        is_label = isinstance(rule.low, str) or isinstance(rule.high, str)
        if is_label and text not in NO_BOUND:
            raise UserError(f"--set {rule.reason}.{bound}={text}: this rule is about labels, and has no numbers to set")
        bounds[bound] = _parse_bound(rule.reason, bound, text)
    return None if set(bounds.values()) == {None} else replace(rule, **bounds)


def _parse_bound(reason: str, bound: str, text: str) -> float | None:
    if text in NO_BOUND:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise UserError(f"--set {reason}.{bound}={text}: not a number (or 'none' for no bound)") from error
    if value != value:
        raise UserError(f"--set {reason}.{bound}={text}: not a number")
    return value
