"""The report of a run: an account of plain JSON values, shown as tables on the terminal and as one HTML page.

account     the account: what came in, what every stage and rule did, and what came out
funnel      its steps from records to tokens
published   what published data sets kept at such steps
groups      its pages by language and domain
histograms  its histograms of the scores
samples     its samples of documents that were kept, and that were dropped for each reason
marks       what in a sample makes its rule fail
values      how values are written: in JSON, and for people
tables      the account on the terminal
page        the account as a page (page.html.j2, page.css)
charts      its charts, as SVG
families    rules and scores by family
slider      a page on which the bounds of the rules can be moved (slider.html.j2, slider.css, slider.js)
"""

from textmill.pipeline.report.account import account_of
from textmill.pipeline.report.page import write_html
from textmill.pipeline.report.tables import print_report

__all__ = ["account_of", "print_report", "write_html"]
