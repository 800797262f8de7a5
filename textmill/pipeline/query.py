"""Rows of the tables of a run, chosen by an expression such as ``n < 50 and host == 'a.example'``.

The expression is Python's syntax for comparisons, ``and``, ``or``, ``not``, ``in`` and names of columns, and nothing
more: it becomes an Arrow expression and is never evaluated as code.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from textmill import storage
from textmill.errors import UnknownNameError, UserError
from textmill.pipeline.workspace import Run, Workspace

_COMPARE: dict[type[ast.cmpop], Any] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}


def rows_where(workspace: Workspace, run: Run, table: str, where: str | None, n: int) -> list[dict[str, Any]]:
    """At most ``n`` rows of a table of the run, in order. Errors: `UnknownNameError`, `UserError`."""
    rows: list[dict[str, Any]] = []
    for group in row_groups(workspace, run, table):
        if where:
            group = _filter(group, where)
        rows += group.slice(0, n - len(rows)).to_pylist()
        if len(rows) >= n:
            break
    return rows


def row_groups(workspace: Workspace, run: Run, table: str) -> Iterator[pa.Table]:
    """The row groups of a table of the run, in order. Errors: `UnknownNameError`, `UserError`."""
    if table not in run.stages:
        raise UnknownNameError(f"table of run {run.name}:", table, run.stages)
    uris = workspace.tables(run.stages[table])
    if not uris:
        raise UserError(f"{table}: has no table of rows in run {run.name}, or has not been made yet")
    for uri in uris:
        with storage.open_parquet(uri) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)


def _filter(group: pa.Table, where: str) -> pa.Table:
    expression = _expression(where, group.schema.names)
    try:
        return group.filter(expression)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise UserError(f"--where {where!r}: a value does not fit its column ({error})") from error


def _expression(text: str, columns: list[str]) -> pc.Expression:
    """Errors: `UserError` for what is no expression of this kind, `UnknownNameError` for a column that is not there."""
    try:
        return _convert(ast.parse(text, mode="eval").body, columns)
    except (
        SyntaxError,
        ValueError,
        TypeError,
        OverflowError,
    ) as error:  # the last three: values that make none
        raise UserError(f"--where {text!r}: not an expression ({error})") from error


def _convert(node: ast.expr, columns: list[str]) -> Any:
    if isinstance(node, ast.BoolOp):
        parts = [_convert(value, columns) for value in node.values]
        whole = parts[0]
        for part in parts[1:]:
            whole = whole & part if isinstance(node.op, ast.And) else whole | part
        return whole
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_convert(node.operand, columns)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return pc.scalar(-ast.literal_eval(node.operand))
    if isinstance(node, ast.Compare):
        return _comparison(node, columns)
    if isinstance(node, ast.Name):
        if node.id not in columns:
            raise UnknownNameError("column", node.id, columns)
        return pc.field(node.id)
    if isinstance(node, ast.Constant):
        return pc.scalar(node.value)
    raise UserError(f"--where: {ast.unparse(node)!r} is not allowed; use comparisons with and, or, not, in")


def _comparison(node: ast.Compare, columns: list[str]) -> Any:
    sides = [node.left, *node.comparators]
    whole = None
    for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
        if isinstance(operator, ast.In | ast.NotIn):
            part = _convert(left, columns).isin(ast.literal_eval(right))
            part = ~part if isinstance(operator, ast.NotIn) else part
        elif type(operator) in _COMPARE:
            part = _COMPARE[type(operator)](_convert(left, columns), _convert(right, columns))
        else:
            raise UserError("--where: compare with == != < <= > >= in")
        whole = part if whole is None else whole & part
    return whole
