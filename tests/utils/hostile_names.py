"""Names that files may have, and that do harm where they are written or shown as they are."""

HOSTILE_NAMES = (
    "=cmd|' \u2044C calc'!A0.jpg",
    '+1,"2".jpg',
    "-rf.jpg",
    "@SUM(A1).jpg",
    "'=1.jpg",
    "a\nERROR: forged.jpg",
    "\ttab\r.jpg",
    "\x1b[2J\x1b]0;title\x07.jpg",
    "\u202egpj.exe.jpg",
    "<script>alert(1)<\u2044script>&amp;.jpg",
    "\"quotes'`.jpg",
    "%s%n{0}{name}.jpg",
    "[link](javascript:0)|*bold*.jpg",
    "n" * 240 + ".jpg",
    "..jpg",
)
UNDECODABLE = "half \udcff.jpg"
