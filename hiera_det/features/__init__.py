"""What frozen models give of images and video: stage maps, vectors and classes; the store, and what is made of it."""
