"""From the official distributions of the datasets to records."""
