"""The files that users put under data/raw: what belongs there, what is there, is it whole."""
