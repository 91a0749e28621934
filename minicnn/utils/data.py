"""PyTorch's name for `minicnn.data`."""

import sys

from minicnn import data
from minicnn.data import *  # noqa: F403  (for editors and type checkers, which read this file)

sys.modules[__name__] = data  # and whoever imports this module gets the other one
