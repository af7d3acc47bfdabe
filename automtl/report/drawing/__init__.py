"""Pictures of architectures and figures."""

from automtl.report.drawing._render import paint, render

__all__ = ["paint", "render"]
