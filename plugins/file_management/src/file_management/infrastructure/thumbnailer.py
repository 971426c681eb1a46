"""
Makes one thumbnail, in a process of its own that may crash, hang or run out of memory; a program, imported by nobody.

The picture comes on standard input, a file; the WebP goes to standard output. Exit code 3 is a picture that cannot be
used, with the reason on standard error. It is started by path, with nothing of the platform in it but this file.
"""

import resource
import sys
import warnings

UNUSABLE = 3
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
"""Of the seventy that Pillow knows, those that people take pictures in."""


def main(max_pixels: int, side: int, memory_bytes: int, seconds: int) -> int:
    """Return the exit code."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    from PIL import Image, ImageOps

    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with Image.open(sys.stdin.buffer, formats=FORMATS) as picture:
            # read from the header: nothing was decoded so far
            if picture.width * picture.height > max_pixels:
                return unusable("too many pixels")
            picture.draft("RGB", (side * 2, side * 2))
            upright = ImageOps.exif_transpose(picture)
            upright.thumbnail((side, side), Image.Resampling.LANCZOS)
            has_alpha = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
            # a new picture: place, time and camera stay behind
            upright.convert("RGBA" if has_alpha else "RGB").save(
                sys.stdout.buffer, "WEBP", quality=80, exif=b""
            )
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return unusable("too many pixels")
    except MemoryError:
        return unusable("takes too much memory")
    except Exception as error:  # noqa: BLE001  # whatever a decoder raises over hostile input
        return unusable(f"is no picture that can be read ({type(error).__name__})")
    return 0


def unusable(reason: str) -> int:
    """Say why there is no thumbnail."""
    sys.stderr.write(reason)
    return UNUSABLE


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:5])))
