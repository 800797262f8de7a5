"""The account of a run, shown: as tables on the terminal, and as one HTML page that needs nothing else.

Page text is hostile. Everything from data goes through `textmill.terminal.safe` and Jinja's escaping; a policy in the
page forbids it to load anything; no text from data reaches Bokeh, which draws only numbers. Bars and the heat map are
HTML. Bokeh's script is part of the page, so a page has 1 MB or more. The only module that imports Bokeh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from textmill import storage
from textmill.errors import UserError
from textmill.terminal import console, safe, size, table

ACCENT, LIMIT, INK = "#0b7285", "#c92a2a", "#495057"
PLOT_HEIGHT_PX = 190
Account = Mapping[str, Any]


# -- the terminal


def print_report(account: Account) -> None:
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


def _tables(account: Account) -> Iterator[tuple[str, list[str], list[list[object]]]]:
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
        title = f"Damage: {damage['n_stretches']:,} stretches, {size(damage['bytes'])}"
        yield (
            title,
            ["file", "offset", "bytes"],
            [[d["file"], d["offset"], d["length"]] for d in damage["located"][:10]],
        )
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
            [s["name"], s["tasks"], s["rows"], s["wall_s"], s["cpu_s"], _size(s["bytes_out"])]
            for s in account["stages"]
        ]
        yield "What it cost", header, rows


def _funnel_rows(steps: Sequence[Mapping[str, Any]]) -> list[list[object]]:
    first = max(1, steps[0]["rows"])
    return [
        [s["step"], s["rows"], round(100 * s["rows"] / first, 1), s["removed_from_previous"], _size(s["bytes"])]
        for s in steps
    ]


def bounds(rule: Mapping[str, Any]) -> str:
    """What a rule keeps, in a few characters: ``≥ 50``."""
    low, high = rule["low"], rule["high"]
    if low == high:
        return f"= {low}"
    if low is None:
        return f"≤ {_number(high)}"
    return f"≥ {_number(low)}" if high is None else f"{_number(low)} to {_number(high)}"


# -- the page


def write_html(account: Account, uri: str) -> None:
    """Write the page to ``uri``, whole or not at all. Errors: `UserError` where that cannot be written."""
    try:
        storage.write_text(to_html(account), uri)
    except OSError as error:
        raise UserError(f"{uri}: cannot be written ({error.strerror}); choose another place") from error


def to_html(account: Account) -> str:
    """The page. Sections follow from what the account holds."""
    from bokeh.embed import components
    from bokeh.resources import Resources
    from jinja2 import Environment
    from markupsafe import Markup

    plots = _plots(account)
    script, divs = components(plots) if plots else ("", {})
    library = Resources(mode="inline", components=["bokeh"]).render() if plots else ""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters |= FILTERS
    environment.globals["bounds"] = bounds
    return environment.from_string(PAGE).render(
        account=account,
        css=Markup(CSS),
        script=Markup(library + script),
        plots={name: Markup(div) for name, div in divs.items()},
    )


# -- plots: numbers only


def _plots(account: Account) -> dict[str, Any]:
    """Bokeh figures by name."""
    plots = {f"histogram_{i}": _histogram(made) for i, made in enumerate(account.get("histograms", []))}
    copies = account.get("duplicates", {})
    if sum(copies.get("similarity", {}).get("counts", [])):
        plots["similarity"] = _bars(
            copies["similarity"]["edges"], copies["similarity"]["counts"], "pairs", "similarity"
        )
    if copies.get("cluster_sizes"):
        plots["cluster_sizes"] = _cluster_sizes(copies["cluster_sizes"])
    if account.get("model", {}).get("curve"):
        plots["loss"] = _loss(account["model"]["curve"])
    return plots


def _figure(x_title: str, y_title: str, tooltips: Sequence[tuple[str, str]], **options: Any) -> Any:
    """An empty figure in the style of the page."""
    from bokeh.models import NumeralTickFormatter
    from bokeh.plotting import figure

    plot = figure(
        height=PLOT_HEIGHT_PX,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools="hover",
        tooltips=list(tooltips),
        x_axis_label=x_title,
        y_axis_label=y_title,
        **options,
    )
    plot.toolbar.active_drag = None
    plot.outline_line_color = None
    plot.background_fill_color = plot.border_fill_color = None
    plot.xgrid.visible = False
    plot.ygrid.grid_line_color = "#e9ecef"
    plot.axis.axis_line_color = plot.axis.major_tick_line_color = "#ced4da"
    plot.axis.minor_tick_line_color = None
    plot.axis.major_label_text_color = plot.axis.axis_label_text_color = INK
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_text_font_size = plot.axis.major_label_text_font_size = "11px"
    plot.yaxis.ticker.desired_num_ticks = 4
    plot.yaxis.formatter = NumeralTickFormatter(format="0.[0]a")
    return plot


def _bars(edges: Sequence[float], counts: Sequence[int], what: str, x_title: str, *, log: bool = False) -> Any:
    """A histogram; the pointer shows the range and number of each bar."""
    tooltips = [("from", "@left{0,0.[000]}"), ("to", "@right{0,0.[000]}"), (what, "@top{0,0}")]
    scale = "log" if log else "linear"
    plot = _figure(x_title, what, tooltips, x_axis_type=scale, x_range=(edges[0], edges[-1]))
    left, right = list(edges[:-1]), list(edges[1:])
    bars = plot.quad(left=left, right=right, bottom=0, top=list(counts), fill_color=ACCENT, line_color="white")
    plot.hover.renderers = [bars]
    plot.xaxis.ticker.desired_num_ticks = 6
    plot.y_range.start = 0
    return plot


def _histogram(made: Mapping[str, Any]) -> Any:
    """A score: the region that the rules keep is shaded, and its bounds are dashed lines."""
    edges = made["edges"]
    plot = _bars(edges, made["counts"], "documents", "", log=made["log"])
    if made["log"]:
        plot.xaxis.formatter = _thousands()
    margin = 0.5 if made["integer"] else 0.0  # a bar of an integer reaches from half below it to half above
    low = edges[0] if made["low"] is None else made["low"] - margin
    high = edges[-1] if made["high"] is None else made["high"] + margin
    kept = [min(max(bound, edges[0]), edges[-1]) for bound in (low, high)]
    if (made["low"], made["high"]) != (None, None) and kept[0] < kept[1]:
        plot.vstrip(x0=kept[:1], x1=kept[1:], fill_color=ACCENT, fill_alpha=0.08, line_color=None, level="underlay")
    limits = [bound for bound in (low, high) if edges[0] < bound < edges[-1]]
    if limits:
        plot.vspan(x=limits, line_color=LIMIT, line_dash="dashed", line_width=1.5)
    return plot


def _thousands() -> Any:
    from bokeh.models import NumeralTickFormatter

    return NumeralTickFormatter(format="0,0")


def _cluster_sizes(sizes: Sequence[Mapping[str, int]]) -> Any:
    """Clusters by size, in classes that double: 2, 3-4, 5-8, ..."""
    classes: dict[int, int] = {}
    for row in sizes:
        power = (row["size"] - 1).bit_length()
        classes[power] = classes.get(power, 0) + row["n"]
    powers = list(range(1, max(classes) + 1))
    names = ["2", *(f"{2 ** (p - 1) + 1}-{2**p}" for p in powers[1:])]
    plot = _figure("documents in the cluster", "clusters", [("size", "@x"), ("clusters", "@top{0,0}")], x_range=names)
    plot.vbar(x=names, top=[classes.get(p, 0) for p in powers], width=0.8, fill_color=ACCENT, line_color=None)
    plot.y_range.start = 0
    return plot


def _loss(curve: Sequence[Mapping[str, Any]]) -> Any:
    plot = _figure("step", "loss (nats a token)", [("step", "@x"), ("loss", "@y{0.000}")])
    plot.height = 300
    plot.yaxis.formatter.format = "0.0"
    steps, losses = [row["step"] for row in curve], [row["loss"] for row in curve]
    plot.line(steps, losses, color=ACCENT, alpha=0.7, line_width=1.5, legend_label="training")
    evaluated = [row for row in curve if row["val_loss"] is not None]
    if evaluated:
        steps, losses = [row["step"] for row in evaluated], [row["val_loss"] for row in evaluated]
        plot.line(steps, losses, color=LIMIT, line_width=2, legend_label="validation")
        plot.scatter(steps, losses, color=LIMIT, size=6, legend_label="validation")
    plot.legend.border_line_color = None
    return plot


# -- how values are written


def _number(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1 else f"{value:,.4g}"
    return safe(value)


def _size(n_bytes: float | None) -> str:
    return "" if n_bytes is None else size(n_bytes)


def _percent(part: float, whole: float) -> str:
    """A share in percent, with the digits that it needs; never 0 or 100 for what is not."""
    if not whole:
        return ""
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.1f}%"


def _share(part: float, whole: float) -> str:
    """A share as a CSS number from 0 to 1."""
    return f"{part / whole if whole else 0:.4f}"


def _lines(text: str) -> str:
    """The lines of a text that are not blank, any white space as one space; control characters show as escapes."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(safe(line, 10 * len(line)) for line in lines if line)


def _long(value: object) -> str:
    return safe(value, 500)


FILTERS: dict[str, Callable[..., str]] = {
    "number": _number,
    "size": _size,
    "percent": _percent,
    "share": _share,
    "lines": _lines,
    "safe_text": _long,
}

CSS = """
:root { --accent: #0b7285; --limit: #c92a2a; --third: #e8590c; --ink: #212529; --soft: #868e96; --line: #e9ecef; }
* { box-sizing: border-box; }
body { margin: 0; background: #f8f9fa; color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main, header, footer { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 32px; }
h1 { margin: 0; font-size: 26px; letter-spacing: -.02em; overflow-wrap: anywhere; }
h2 { margin: 0 0 4px; font-size: 19px; letter-spacing: -.01em; }
h3 { margin: 20px 0 6px; font-size: 15px; }
p { margin: 0 0 12px; max-width: 78ch; }
.soft { color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; padding: 12px 0 20px; }
nav a { color: var(--accent); text-decoration: none; }
nav a:hover { text-decoration: underline; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 20px 24px;
  margin-bottom: 20px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 12.5px; }
th, td { padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
tr:last-child td { border-bottom: 0; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.name { overflow-wrap: anywhere; }
.bar { width: 34%; min-width: 120px; padding-right: 0; }
.bar i { display: block; height: 14px; border-radius: 3px; background: var(--accent);
  width: calc(100% * var(--share)); }
.bar i + i { height: 5px; margin-top: 2px; opacity: .45; }
.bar i + i + i { opacity: 1; background: var(--third); }
.source { padding-left: 14px; width: 22%; }
.bounds { white-space: nowrap; }
table + p { margin: 12px 0 0; }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin: 0 5px 0 12px;
  background: var(--accent); }
.key.alone { opacity: .45; }
.key.only { background: var(--third); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(310px, 1fr)); gap: 16px 24px;
  margin-top: 12px; }
.cards h3 { margin: 0; font: 600 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.cards p { font-size: 12.5px; margin: 0; }
.heat { width: auto; font-size: 12.5px; }
.heat td { text-align: center; border: 1px solid #fff; padding: 3px 6px; min-width: 40px;
  font-variant-numeric: tabular-nums;
  background: rgb(11 114 133 / calc(.75 * var(--share))); }
.heat td.strong { color: #fff; }
.heat th { padding: 3px 10px 3px 0; border: 0; white-space: nowrap; font-weight: 400; color: var(--ink); }
.heat thead th { text-align: center; padding: 3px 6px; color: var(--soft); }
.facts { display: flex; flex-wrap: wrap; gap: 8px 36px; margin: 4px 0 12px; }
.facts div { font-size: 13px; color: var(--soft); }
.facts b { display: block; font-size: 21px; line-height: 1.3; color: var(--ink); font-weight: 600; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(440px, 1fr)); gap: 0 32px; }
.sample { border-top: 1px solid var(--line); padding: 10px 0; min-width: 0; }
.sample pre, .written { margin: 4px 0 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13.5px/1.5 Georgia, serif; }
.sample pre { max-height: 11em; overflow-y: auto; }
.sample .url { font-size: 12.5px; color: var(--soft); overflow-wrap: anywhere; }
.tag { font: 600 12px ui-monospace, monospace; color: var(--limit); }
.kept .tag { color: var(--accent); }
details summary { cursor: pointer; font-weight: 600; padding: 6px 0; }
footer { padding-bottom: 40px; font-size: 13px; color: var(--soft); overflow-wrap: anywhere; }
footer code { font-size: 12.5px; }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>textmill: {{ account.run.name | safe_text }}</title>
<style>{{ css }}</style>
{{ script }}
</head>
<body>

{% macro bars(rows, label, columns) %}
{# The largest number of a table is a whole bar. #}
{% set most = rows | map(attribute="n") | map("first") | max %}
<table>
<tr><th>{{ label }}</th>{% for column in columns %}<th class="n">\
<span class="key {{ ["", "alone", "only"][loop.index0] }}"></span>{{ column | safe_text }}</th>{% endfor %}
<th></th></tr>
{% for row in rows %}
<tr><td class="name">{{ (row[label] or "(none)") | safe_text }}</td>
{% for n in row.n %}<td class="n">{{ n | number }}</td>{% endfor %}
<td class="bar">{% for n in row.n %}<i style="--share: {{ n | share(most) }}"></i>{% endfor %}</td></tr>
{% endfor %}
</table>
{% endmacro %}

{% macro fact(value, name) %}<div><b>{{ value }}</b>{{ name }}</div>{% endmacro %}

<header>
<h1>{{ account.run.name | safe_text }}</h1>
<div class="soft">{% if account.run.finished %}finished {{ account.run.finished | safe_text }}\
{% else %}not finished{% endif %}</div>
<nav>
{% for name, title in [("funnel", "Funnel"), ("statuses", "Records"), ("decisions", "Rules"),
    ("histograms", "Scores"), ("languages", "Languages"), ("hosts", "Hosts"), ("duplicates", "Copies"),
    ("tokens", "Tokens"), ("model", "Model"), ("stages", "Cost"), ("samples", "Samples"), ("run", "Settings")] %}
{% if name in account %}<a href="#{{ name }}">{{ title }}</a>{% endif %}
{% endfor %}
</nav>
</header>
<main>

{% if account.funnel %}
<section id="funnel">
<h2>From records to tokens</h2>
<p class="soft">Every candidate record is kept, or removed for a reason that is counted below.</p>
{% set first = account.funnel[0].rows %}
<table>
<tr><th>step</th><th class="n">documents</th><th class="n">of all</th><th class="n">removed</th>
<th class="n">size</th><th></th></tr>
{% for step in account.funnel %}
<tr><td>{{ step.step | safe_text }}</td><td class="n">{{ step.rows | number }}</td>
<td class="n">{{ step.rows | percent(first) }}</td>
<td class="n">{% if step.removed_from_previous %}{{ step.removed_from_previous | number }}{% endif %}</td>
<td class="n">{{ step.bytes | size }}{% if loop.first %} HTML{% elif step.tokens %}, \
{{ step.tokens | number }} tokens{% endif %}</td>
<td class="bar"><i style="--share: {{ step.rows | share(first) }}"></i></td></tr>
{% endfor %}
</table>
{% if account.masked %}
<p class="soft">Masked in the corpus: {% for kind, n in account.masked.items() %}\
{{ n | number }} {{ kind | safe_text }}{{ ", " if not loop.last }}{% endfor %}.</p>
{% endif %}
</section>
{% endif %}

{% if account.statuses %}
<section id="statuses">
<h2>What became of the records</h2>
{% set total = account.statuses.values() | sum %}
{% set most = account.statuses.values() | max %}
<table>
<tr><th>status</th><th class="n">records</th><th class="n">share</th><th></th></tr>
{% for status, n in account.statuses.items() %}
<tr><td>{{ status | safe_text }}</td><td class="n">{{ n | number }}</td><td class="n">{{ n | percent(total) }}</td>
<td class="bar"><i style="--share: {{ n | share(most) }}"></i></td></tr>
{% endfor %}
</table>
{% if account.other_records %}
<p class="soft">Other records, only counted: {% for kind, n in account.other_records.items() %}\
{{ n | number }} {{ kind | safe_text }}{{ ", " if not loop.last }}{% endfor %}.</p>
{% endif %}
{% if account.damage and account.damage.n_stretches %}
<details><summary>Damage: {{ account.damage.n_stretches | number }} stretches, \
{{ account.damage.bytes | size }}</summary>
<table><tr><th>file</th><th class="n">offset</th><th class="n">bytes</th></tr>
{% for place in account.damage.located %}
<tr><td class="name">{{ place.file | safe_text }}</td><td class="n">{{ place.offset | number }}</td>
<td class="n">{{ place.length | number }}</td></tr>
{% endfor %}
</table></details>
{% endif %}
</section>
{% endif %}

{% if account.decisions %}
<section id="decisions">
<h2>Rules</h2>
<p class="soft">Documents that a rule removes when rules are applied in order, that fail it (alone),
and that fail nothing else (only: what comes back without it).
<span class="key"></span>in order<span class="key alone"></span>alone\
<span class="key only"></span>only</p>
{% for decision in account.decisions %}
<h3>{{ decision.stage | safe_text }}: {{ decision.n_keep | number }} of {{ decision.n_judged | number }} pass \
({{ decision.n_keep | percent(decision.n_judged) }})</h3>
{% set most = decision.rules | map(attribute="alone") | max if decision.rules else 0 %}
<div class="wide"><table>
<tr><th></th><th>rule</th><th>keeps</th><th class="n">in order</th><th class="n">alone</th><th class="n">only</th>
<th></th><th class="source">source</th></tr>
{% for rule in decision.rules %}
<tr><td class="n soft">{{ loop.index }}</td><td>{{ rule.reason | safe_text }}</td>
<td class="bounds">{{ bounds(rule) }}</td>
<td class="n">{{ rule.in_order | number }}</td><td class="n">{{ rule.alone | number }}</td>
<td class="n">{{ rule.only | number }}</td>
<td class="bar">{% for n in (rule.in_order, rule.alone, rule.only) %}\
<i style="--share: {{ n | share(most) }}"></i>{% endfor %}</td>
<td class="soft source">{{ rule.source | safe_text }}</td></tr>
{% endfor %}
</table></div>
{% if decision.rules | length > 2 %}
<h3>How the rules of {{ decision.stage | safe_text }} overlap</h3>
<p class="soft">Documents that fail both rules. The darker, the larger the share of those that fail the rule of
the row.</p>
<div class="wide"><table class="heat">
<thead><tr><th></th><th></th>{% for rule in decision.rules %}<th>{{ loop.index }}</th>{% endfor %}</tr></thead>
{% for row in decision.overlap %}
{% set i = loop.index0 %}
<tr><th>{{ decision.rules[i].reason | safe_text }}</th><th class="soft">{{ loop.index }}</th>
{% for n in row %}
<td style="--share: {{ n | share(row[i]) }}"{% if n > 0.6 * row[i] %} class="strong"{% endif %}>\
{{ n | number if n else "" }}</td>
{% endfor %}</tr>
{% endfor %}
</table></div>
{% endif %}
{% endfor %}
</section>
{% endif %}

{% if account.histograms %}
<section id="histograms">
<h2>Scores</h2>
<p class="soft">Documents with text, by value. Shaded is what the rules keep; a dashed line is a bound.</p>
<div class="cards">
{% for made in account.histograms %}
<div><h3>{{ made.column | safe_text }}</h3>
<p class="soft">{{ made.stage | safe_text }}{% if made.low is not none or made.high is not none %}, \
kept {{ bounds(made) }}{% endif %}{% if made.n_below or made.n_above %}; not shown: \
{% if made.n_below %}{{ made.n_below | number }} below{% endif %}{{ ", " if made.n_below and made.n_above }}\
{% if made.n_above %}{{ made.n_above | number }} above{% endif %}{% endif %}</p>
{{ plots["histogram_" ~ loop.index0] }}</div>
{% endfor %}
</div>
</section>
{% endif %}

{% for name, label, title in [("languages", "language", "Languages"), ("hosts", "host", "Hosts")] %}
{% if account[name] and account[name].top %}
<section id="{{ name }}">
<h2>{{ title }}</h2>
<p class="soft">{{ account[name].n | number }} in all{% if account[name].n > account[name].top | length %}; \
the {{ account[name].top | length }} most frequent{% endif %}.</p>
{{ bars(account[name].top, label, account[name].columns) }}
</section>
{% endif %}
{% endfor %}

{% if account.duplicates %}
{% set copies = account.duplicates %}
<section id="duplicates">
<h2>Copies</h2>
<div class="facts">
{{ fact(copies.candidates | number, "candidate pairs") }}
{{ fact(copies.edges | number, "are copies") }}
{{ fact(copies.rejected | number, "are not") }}
{% if copies.clusters is defined %}{{ fact(copies.clusters | number, "clusters") }}
{{ fact(copies.members | number, "documents in clusters") }}{% endif %}
{% if copies.removed_exact_duplicate is defined %}{{ fact(copies.removed_exact_duplicate | number, "removed, equal") }}
{{ fact(copies.removed_near_duplicate | number, "removed, nearly equal") }}{% endif %}
</div>
<div class="cards">
{% if plots.similarity is defined %}<div><h3>similarity of copies</h3>{{ plots.similarity }}</div>{% endif %}
{% if plots.cluster_sizes is defined %}<div><h3>size of clusters</h3>{{ plots.cluster_sizes }}</div>{% endif %}
</div>
</section>
{% endif %}

{% if account.tokens %}
<section id="tokens">
<h2>Tokens</h2>
<div class="facts">{{ fact(account.tokens.vocab_size | number, "vocabulary") }}</div>
<table><tr><th>split</th><th class="n">tokens</th><th class="n">documents</th><th class="n">text</th>
<th class="n">bytes a token</th></tr>
{% for split in ("train", "val") %}
{% set part = account.tokens[split] %}
<tr><td>{{ split }}</td><td class="n">{{ part.tokens | number }}</td><td class="n">{{ part.docs | number }}</td>
<td class="n">{{ part.bytes | size }}</td>
<td class="n">{% if part.bytes_per_token %}{{ part.bytes_per_token | round(3) }}{% endif %}</td></tr>
{% endfor %}
</table>
</section>
{% endif %}

{% if account.model %}
<section id="model">
<h2>Model</h2>
<div class="facts">{{ fact(account.model.n_parameters | number, "parameters") }}
{% if account.model.curve %}{% set last = account.model.curve[-1] %}
{{ fact(last.step | number, "steps") }}{{ fact(last.loss | round(3), "training loss") }}
{% if last.val_loss is not none %}{{ fact(last.val_loss | round(3), "validation loss") }}{% endif %}{% endif %}</div>
{{ plots.loss }}
<h3>What it writes</h3>
<pre class="written">{{ account.model.sample | lines }}</pre>
</section>
{% endif %}

{% if account.stages %}
<section id="stages">
<h2>What it cost</h2>
<p class="soft">Seconds are added up over tasks; waited is the time of the stage in the run that did it.</p>
{% set slowest = account.stages | map(attribute="wall_s") | max %}
<table>
<tr><th>stage</th><th class="n">tasks</th><th class="n">rows</th><th class="n">written</th><th class="n">waited, s</th>
<th class="n">CPU, s</th><th class="n">seconds</th><th></th></tr>
{% for stage in account.stages %}
<tr><td>{{ stage.name | safe_text }}</td><td class="n">{{ stage.tasks | number }}</td>
<td class="n">{% if stage.rows is not none %}{{ stage.rows | number }}{% endif %}</td>
<td class="n">{{ stage.bytes_out | size }}</td>
<td class="n">{% if stage.run_wall_s is not none %}{{ "%.2f" | format(stage.run_wall_s) }}{% endif %}</td>
<td class="n">{{ "%.2f" | format(stage.cpu_s) }}</td><td class="n">{{ "%.2f" | format(stage.wall_s) }}</td>
<td class="bar"><i style="--share: {{ stage.wall_s | share(slowest) }}"></i></td></tr>
{% endfor %}
</table>
</section>
{% endif %}

{% if account.samples %}
<section id="samples">
<h2>Samples</h2>
<p class="soft">Chosen by a hash of the document's id; e-mail addresses are masked.
<code>textmill explain</code> says everything about one.</p>
{% if account.samples.kept %}
<h3>Kept</h3>
<div class="samples">
{% for sample in account.samples.kept %}
<div class="sample kept"><div class="url"><span class="tag">kept</span> {{ sample.doc_id }}
{{ sample.url | safe_text }}</div>
<pre>{{ sample.text | lines }}</pre></div>
{% endfor %}
</div>
{% endif %}
{% for group in (account.samples.dropped or []) | groupby("reason") %}
<details><summary>Dropped: {{ group.grouper | safe_text }}</summary>
<div class="samples">
{% for sample in group.list %}
<div class="sample"><div class="url"><span class="tag">{{ sample.column | safe_text }} = \
{{ sample.value | number }}</span> {{ sample.doc_id }} {{ sample.url | safe_text }}</div>
<pre>{{ sample.text | lines }}</pre></div>
{% endfor %}
</div></details>
{% endfor %}
</section>
{% endif %}
</main>

<footer id="run">
<p>DAG {{ account.run.dag | safe_text }}{% for setting in account.run.settings %}, \
<code>{{ setting | safe_text }}</code>{% endfor %}</p>
<p>{% for name, version in account.run.versions.items() %}{{ name | safe_text }} {{ version | safe_text }}\
{{ ", " if not loop.last }}{% endfor %}</p>
</footer>
</body>
</html>
"""
