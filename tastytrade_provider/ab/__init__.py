"""Two providers side by side: the primary serves the program, the shadow runs beside it in a process of its own, and the differences are recorded."""

from .provider import AbProvider, create

__all__ = ["AbProvider", "create"]
