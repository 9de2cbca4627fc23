"""Features of frozen models over images and video: what is read, how it is cut into parts, and the store they go to."""
