"""The room ``data``: files and recordings become checked, split arrays."""

from marram.data.cache import cached
from marram.data.dataset import Dataset, Samples, in_memory
from marram.data.recordings import Recording
from marram.data.source import load
from marram.data.splitting import Split, check_leak, split
from marram.data.summary import DataSummary, summarise

__all__ = [
    "DataSummary",
    "Dataset",
    "Recording",
    "Samples",
    "Split",
    "cached",
    "check_leak",
    "in_memory",
    "load",
    "split",
    "summarise",
]
