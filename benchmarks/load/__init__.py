"""What `benchmarks.service_load` is made of: catalogs, processes, and a driver of HTTP requests."""
