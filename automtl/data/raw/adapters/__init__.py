"""Their publishers' raw layouts, and how to get them."""
