"""The configuration: keys and defaults, the sources they are read from, and what is wrong with them.

Importing this brings pydantic and PyYAML, so the command line imports it only where it loads.
"""

from __future__ import annotations

from collectord.config.schema import Config
from collectord.config.settings import Settings, load

__all__ = ["Config", "Settings", "load"]
