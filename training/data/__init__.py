"""Dataset folders: reading, writing, importing, splitting and sampling."""
