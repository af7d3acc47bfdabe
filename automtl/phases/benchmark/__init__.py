"""A table of trained architectures for any data set: planned, timed, trained, resumed, judged."""
