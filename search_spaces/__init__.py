"""Search spaces that the package ships: one YAML file each, with its source."""
