"""Where files are and what their bytes are: paths, addresses, formats, encodings, fingerprints."""
