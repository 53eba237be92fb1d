"""What all savers share that keep rows in tables: the operations, and the saver's methods over them."""
