"""One script per published number; each writes rows to `benchmarks/results/`."""
