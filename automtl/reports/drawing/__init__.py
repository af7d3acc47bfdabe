"""Pictures of architectures and figures."""

from automtl.reports.drawing._render import paint, render

__all__ = ["paint", "render"]
