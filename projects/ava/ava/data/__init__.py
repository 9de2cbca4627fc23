"""Data of AVA's kind: clips from frame folders or videos, their transforms, and the dataset of keyframes."""
