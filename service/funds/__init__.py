"""Fund companies as users, listed companies as items: facts, suitability, reasons, audit log."""
