"""The report: one HTML page that shows how a workspace is doing, and how complete the lake is."""

from pipeline.report.page import write_report

__all__ = ["write_report"]
