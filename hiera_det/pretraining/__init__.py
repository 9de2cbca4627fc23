"""Masked-autoencoder pretraining on images and clips without labels, as a task of the engine."""
