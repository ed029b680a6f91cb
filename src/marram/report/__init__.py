"""The room ``report``: what a build found, as one self-contained HTML page."""

from marram.report.page import page
from marram.report.record import BuildResult

__all__ = ["BuildResult", "page"]
