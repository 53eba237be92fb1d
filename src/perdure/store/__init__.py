"""Long-term memory: items that outlive threads and are shared by them."""
