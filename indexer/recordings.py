"""Recordings of firehoses: make one (``record``), open one, and serve one (``ReplayServer``)."""

from indexer.recorder import record
from indexer.recording_files import Manifest, Recording
from indexer.replay import ReplayServer

__all__ = ["Manifest", "Recording", "ReplayServer", "record"]
