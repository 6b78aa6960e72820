# SPDX-License-Identifier: MIT
"""The parts of bench/run. What bench/memory/run shares with it is named here."""

from suite.allocators import DEFAULT_PEERS, environment, find_allocators
from suite.basics import OURS, build_folder
from suite.document import markdown
from suite.figures import geometric_mean
from suite.machine import machine_lines
from suite.measure import Progress, turns
