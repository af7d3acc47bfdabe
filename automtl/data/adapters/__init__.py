"""Publishers' raw layouts, read as plain tables."""
