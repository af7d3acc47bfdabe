"""What a data set's YAML may say."""
