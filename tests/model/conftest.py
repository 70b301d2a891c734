"""Tiny models gain nothing from a second thread, and lose much where the machine has other work."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
