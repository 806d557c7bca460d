"""One workflow from raw data to the tables of three papers on human mesh recovery."""
