"""A case study of one fund company: what was recommended, and what it bought then."""
