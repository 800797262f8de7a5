"""The account of a run as tables on the terminal. Everything from data goes through `textmill.terminal.safe`."""

from __future__ import annotations

from collections.abc import Iterator

from textmill.pipeline.report.values import Section, bounds, size_or_blank
from textmill.terminal import console, safe, size, table

N_SHOWN = 10


def print_report(account: Section) -> None:
    """Print what people ask for first: the funnel, the rules, the copies, the tokens, the seconds."""
    out = console()
    out.print(f"run {safe(account['run']['name'])}, finished {safe(account['run']['finished']) or 'not yet'}\n")
    for title, header, rows in _tables(account):
        out.print(table(title, header, rows, max_chars=48))
        out.print()
    if "model" in account:
        out.print("What the model writes", style="italic")
        for line in account["model"]["sample"].splitlines():
            out.print(safe(line, 1000), markup=False)
        out.print()


def _tables(account: Section) -> Iterator[tuple[str, list[str], list[list[object]]]]:
    """Title, header and rows of every table for the terminal."""
    if "funnel" in account:
        yield (
            "From records to tokens",
            ["step", "documents", "% of all", "removed", "size"],
            _funnel_rows(account["funnel"]),
        )
    if "statuses" in account:
        yield "Records", ["status", "records"], [list(item) for item in account["statuses"].items()]
    if account.get("damage", {}).get("n_stretches"):
        damage = account["damage"]
        if damage["lost_files"]:
            title = f"Lost: {len(damage['lost_files']):,} of {damage['n_files']:,} files"
            yield title, ["file", "fault"], [[d["file"], d["fault"]] for d in damage["lost_files"][:N_SHOWN]]
        title = f"Damage: {damage['n_stretches']:,} stretches, {size(damage['bytes'])} of {size(damage['of_bytes'])}"
        yield title, ["fault", "stretches", "bytes"], [[d["fault"], d["n"], d["bytes"]] for d in damage["faults"]]
        header = ["file", "offset", "bytes", "fault"]
        rows = [[d["file"], d["offset"], d["length"], d["fault"]] for d in damage["located"][:N_SHOWN]]
        yield "Where", header, rows
    for decision in account.get("decisions", []):
        title = f"{safe(decision['stage'])}: {decision['n_keep']:,} of {decision['n_judged']:,} documents pass"
        header = ["rule", "keeps", "in order", "alone", "only"]
        rules = decision["rules"]
        yield title, header, [[r["reason"], bounds(r), r["in_order"], r["alone"], r["only"]] for r in rules]
    if "duplicates" in account:
        copies = account["duplicates"]
        names = [name for name, value in copies.items() if isinstance(value, int)]
        yield "Copies", ["what", "number"], [[name.replace("_", " "), copies[name]] for name in names]
    if "tokens" in account:
        header = ["split", "tokens", "documents", "bytes a token"]
        splits = {split: account["tokens"][split] for split in ("train", "val")}
        rows = [[name, s["tokens"], s["docs"], s["bytes_per_token"]] for name, s in splits.items()]
        yield f"Tokens of a vocabulary of {account['tokens']['vocab_size']:,}", header, rows
    if "stages" in account:
        header = ["stage", "tasks", "rows", "seconds", "CPU seconds", "size"]
        rows = [
            [s["name"], s["tasks"], s["rows"], s["wall_s"], s["cpu_s"], size_or_blank(s["bytes_out"])]
            for s in account["stages"]
        ]
        yield "What it cost", header, rows


def _funnel_rows(steps: list[Section]) -> list[list[object]]:
    first = max(1, steps[0]["rows"])
    return [
        [s["step"], s["rows"], round(100 * s["rows"] / first, 1), s["removed_from_previous"], size_or_blank(s["bytes"])]
        for s in steps
    ]
