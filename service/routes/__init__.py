"""The endpoints: one file per resource, one router per file."""
