"""``--set`` and ``--list`` of ``textmill train``: the fields of a model's shape and of its recipe, each by its name."""

from __future__ import annotations

import argparse
import inspect
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textmill.errors import UserError
from textmill.settings import parse_values

if TYPE_CHECKING:
    from textmill.train.config import ModelConfig, Preset

NOTED_FIELD = re.compile(r"    (\w+): .*?  # (.+)")


def chosen_recipe(
    options: argparse.Namespace,
    *,
    vocab_size: int | None = None,
    steps: int | None = None,
    shape: ModelConfig | None = None,
) -> Preset:
    """The preset that ``options`` name, with what they set; ``vocab_size`` and ``steps`` stand in for what they do not.

    A ``shape`` takes the place of the preset's, vocabulary and all.
    Errors: `UserError` for a value out of range, `UnknownNameError` for a preset or a field that does not exist.
    """
    from textmill.train.config import preset, recipe_fields

    recipe = preset(options.model)
    values = parse_values(recipe_fields(), options.settings)
    if "steps" in values and options.steps is not None:
        raise UserError(f"--steps {options.steps} and --set steps={values['steps']}: give one of them")
    if shape is not None:
        recipe, vocab_size = replace(recipe, model=shape), shape.vocab_size
    own_steps = values.pop("steps", options.steps)
    sized = recipe.sized(
        vocab_size=vocab_size or recipe.model.vocab_size,
        steps=(steps or recipe.train.steps) if own_steps is None else own_steps,
    )
    return sized.changed(values)


def print_fields(recipe: Preset) -> None:
    """A table of what ``--set`` can change, with the values of ``recipe``."""
    from textmill.terminal import console, table

    for title, part in (("shape of the model", recipe.model), ("recipe", recipe.train)):
        notes, choices = _notes(type(part)), _choices()
        rows = [
            [name, _shown(value), ", ".join(choices.get(name, ())), notes.get(name, "")]
            for name, value in vars(part).items()
        ]
        console().print(table(title, ["name", "value", "one of", "what it is"], rows, max_chars=160))


def _choices() -> dict[str, tuple[str, ...]]:
    from textmill.train.config import CHOICES, RECIPE_CHOICES

    return {**CHOICES, **RECIPE_CHOICES}


def _notes(config: type[Any]) -> dict[str, str]:
    """The comments beside the fields of a dataclass, so that they are written once."""
    try:
        lines = inspect.getsource(config).splitlines()
    except OSError:  # no source here
        return {}
    return dict(match.groups() for match in map(NOTED_FIELD.match, lines) if match)  # type: ignore[misc]


def _shown(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
