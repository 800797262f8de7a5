"""The account of a run as tables on the terminal. Everything from data goes through `textmill.terminal.safe`."""

from __future__ import annotations

from collections.abc import Iterator

from textmill.pipeline.report.values import Section, bounds, compact, percent, signed_size, size_or_blank
from textmill.terminal import console, safe, size, table

N_SHOWN = 10
N_ORIGINS = 5  # languages and domains


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
            ["step", "documents", "% of all", "removed", "text", "removed", "tokens"],
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
    for name, what in (("language", "Languages"), ("domain", "Registered domains"), ("tld", "Top-level domains")):
        if group := account.get("groups", {}).get(name):
            header = ["name", "pages", "text", "kept", "% kept", "most are removed by", "pages"]
            yield f"{what}: {group['n']:,}", header, _origin_rows(group)
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
    return [_funnel_row(step, max(1, steps[0]["rows"])) for step in steps]


def _funnel_row(step: Section, first: int) -> list[object]:
    """Causes stand further in than totals, and what they do not change is left out."""
    name = step["step"] if step["is_total"] else f"  {step['step']}"
    text = f"{size_or_blank(step['bytes'])}{' HTML' if step['of_html'] else ''}"
    tokens = "" if step["tokens"] is None else f"~{compact(step['tokens'])}"
    return [
        name,
        step["rows"],
        round(100 * step["rows"] / first, 1),
        step["removed_from_previous"] or None,
        text,
        signed_size(step["removed_bytes"]) if step["removed_bytes"] else "",
        f"{step['tokens']:,}" if step["tokens_are_counted"] else tokens,
    ]


def _origin_rows(group: Section) -> list[list[object]]:
    shown = group["top"][:N_ORIGINS]
    return [
        [
            row["name"] or "(none)",
            row["documents"],
            size(row["bytes"]),
            row["kept"],
            percent(row["kept"], row["documents"]),
            row.get("reason", ""),
            row.get("n_reason"),
        ]
        for row in shown
    ] + ([[f"and {group['n'] - len(shown):,} more", *[None] * 6]] if len(shown) < group["n"] else [])
