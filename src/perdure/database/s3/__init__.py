"""Object stores that speak S3: how to open one, and how to ask it."""
