"""The event store: Redis or Valkey behind one small client."""
