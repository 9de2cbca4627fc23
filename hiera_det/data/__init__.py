"""Reading images, video and COCO annotations, and finding files; knows nothing of tasks."""
