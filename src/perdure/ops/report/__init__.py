"""Reports on what a database takes, for people: a page of HTML, and a picture."""

from perdure.ops.report.page import to_html
from perdure.ops.report.plots import to_png

__all__ = ["to_html", "to_png"]
