"""The account of a run as one HTML page that needs nothing else. The layout lies in ``page.html.j2`` and ``page.css``.

Page text is hostile. Everything from data goes through `textmill.terminal.safe` and Jinja's escaping; a policy in the
page forbids it to load anything; no text from data reaches Bokeh, which draws only numbers. Bars and the heat map are
HTML. Bokeh's script is part of the page, so a page has 1 MB or more. The only module that imports Bokeh, and only when
it writes a page, because that takes 0.6 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textmill import storage
from textmill.errors import UserError
from textmill.pipeline.report.values import Section, bounds, lines, long_text, number, percent, share, size_or_blank

ACCENT, LIMIT, INK = "#0b7285", "#c92a2a", "#495057"
PLOT_HEIGHT_PX = 190


def write_html(account: Section, uri: str, whatif: str = "") -> None:
    """Write the page to ``uri``, whole or not at all. Errors: `UserError` where that cannot be written."""
    try:
        storage.write_text(to_html(account, whatif), uri)
    except OSError as error:
        raise UserError(f"{uri}: cannot be written ({error.strerror}); choose another place") from error


def to_html(account: Section, whatif: str = "") -> str:
    """The page. Sections follow from what the account holds; ``whatif`` is the address of the page with sliders."""
    from bokeh.embed import components
    from bokeh.resources import Resources
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    plots = _plots(account)
    script, divs = components(plots) if plots else ("", {})
    library = Resources(mode="inline", components=["bokeh"]).render() if plots else ""
    environment = Environment(
        loader=PackageLoader("textmill.pipeline.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "bounds": bounds,
        "lines": lines,
        "number": number,
        "overlap": _overlap,
        "percent": percent,
        "safe_text": long_text,
        "share": share,
        "size": size_or_blank,
    }
    return environment.get_template("page.html.j2").render(
        account=account,
        whatif=whatif,
        script=Markup(library + script),
        plots={name: Markup(div) for name, div in divs.items()},
    )


def _overlap(decision: Section) -> list[Section]:
    """The rows of the heat map: each rule that some document fails, and how many fail it and each of these rules."""
    failing = [i for i, rule in enumerate(decision["rules"]) if rule["alone"]]
    rows = [(i, decision["rules"][i], decision["overlap"][i]) for i in failing]
    return [
        {"number": i + 1, "reason": rule["reason"], "alone": rule["alone"], "both": [counts[j] for j in failing]}
        for i, rule, counts in rows
    ]


# -- plots: numbers only


def _plots(account: Section) -> dict[str, Any]:
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


def _histogram(made: Section) -> Any:
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
    given = [bound for bound, name in ((low, "low"), (high, "high")) if made[name] is not None]
    limits = [bound for bound in given if edges[0] <= bound <= edges[-1]]
    if limits:
        plot.vspan(x=limits, line_color=LIMIT, line_dash="dashed", line_width=1.5)
    return plot


def _thousands() -> Any:
    from bokeh.models import NumeralTickFormatter

    return NumeralTickFormatter(format="0,0")


def _cluster_sizes(sizes: Sequence[Section]) -> Any:
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


def _loss(curve: Sequence[Section]) -> Any:
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
