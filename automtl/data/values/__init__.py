"""One reading of a value, whichever file it comes from: words, lists, times, hashes."""
