"""The page, panel by panel."""
