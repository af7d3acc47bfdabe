"""`automtl data`: list, get, prepare and describe data sets."""
