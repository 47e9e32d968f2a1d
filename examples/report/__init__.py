"""A report of measured clips: tables, plots and contact sheets in a folder that can be read on GitHub."""

from examples.report.figures import curve, scatter
from examples.report.page import Page
from examples.report.tables import Interval, interval, table


__all__ = ["Interval", "Page", "curve", "interval", "scatter", "table"]
