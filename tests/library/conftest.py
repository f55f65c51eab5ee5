"""Tests that need PyTorch are there where PyTorch is: it is not among our dependencies."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["test_torch.py"]
