"""The report of a run: figures as PNG and SVG, and one HTML page that holds everything."""

from pgbench.report.page import write_report

__all__ = ["write_report"]
