"""Scores many files with an exported model: one row a file, in CSV or Parquet."""

from kerasood.scoring.summary import Summary
from kerasood.scoring.work import score_files

__all__ = ["Summary", "score_files"]
