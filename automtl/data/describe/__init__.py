"""Tables that nothing is known of -> a draft of their YAML; what a store holds."""

from automtl.data.describe._describe import describe
from automtl.data.describe._draft import draft
from automtl.data.describe._targets import slipped_label

__all__ = ["describe", "draft", "slipped_label"]
