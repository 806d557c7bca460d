"""Demo data: procedural motions and pictures of people, written in the official file layouts."""
