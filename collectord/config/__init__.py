"""The configuration: keys and defaults, the sources they are read from, and what is wrong with them.

pydantic and PyYAML are imported only where there is something to read.
"""

from __future__ import annotations

from collectord.config.schema import Config
from collectord.config.settings import Settings, load

__all__ = ["Config", "Settings", "load"]
