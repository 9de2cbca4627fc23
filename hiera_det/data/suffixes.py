"""Which files are images or videos, by the ends of their names."""

__all__ = ["IMAGE_FORMATS", "IMAGE_SUFFIXES", "VIDEO_SUFFIXES"]

# PIL's names of the formats that are read, wherever an image is: PIL knows others, for some of which it starts programs
# (Ghostscript for EPS, whatever the file's name) or reads further files. With each the endings that PIL gives it.
IMAGE_FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),  # MPO too: several JPEGs in a file, as telephones write
    "PNG": (".png", ".apng"),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "AVIF": (".avif", ".avifs"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
}
IMAGE_SUFFIXES = tuple(suffix for suffixes in IMAGE_FORMATS.values() for suffix in suffixes)
VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts"),
    *(".mts", ".m2ts", ".vob", ".flv"),
)
