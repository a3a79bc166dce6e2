"""HTTP server: predictions for images that clients upload (extra `serve`)."""
