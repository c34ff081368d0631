"""Files of every kind that is known, and sixty that mean harm."""

from __future__ import annotations

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00" + bytes(40)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(40)
GIF = b"GIF89a\x01\x00\x01\x00" + bytes(20)
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(20)
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n"
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00" + bytes(20)
MOV = b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00" + bytes(20)
OLD_MOV = b"\x00\x00\x00\x08wide\x00\x00\x00\x00mdat" + bytes(20)
AVI = b"RIFF\x24\x00\x00\x00AVI LIST" + bytes(20)
WEBM = b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\x82\x84webm" + bytes(20)
TEXT = "2026-11-21 10:12:33 ERROR Übertrag fehlgeschlagen\n".encode()
ZIP = b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + bytes(20)
HTML = b"<!doctype html><script>alert(document.cookie)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'

HONEST: dict[str, bytes] = {
    "a.png": PNG,
    "a.PNG": PNG,
    "a.jpg": JPEG,
    "a.jpeg": JPEG,
    "a.gif": GIF,
    "a.webp": WEBP,
    "a.pdf": PDF,
    "a.mp4": MP4,
    "a.mov": MOV,
    "old.mov": OLD_MOV,
    "a.avi": AVI,
    "a.webm": WEBM,
    "a.txt": TEXT,
    "a.log": b"\x1b[31mred\x1b[0m\tand \x08so on\r\n",
    "progress.log": b"\x08\x08\x08\x08free memory: 3 GB\n",
    "utf16.log": "ein Text".encode("utf-16"),
    "latin1.csv": "Straße;1\n".encode("latin-1"),
    "a.json": b'{"a": 1}',
    "a.md": b"# Steps",
    "a.yaml": b"kind: Pod\n",
    "a.yml": b"kind: Pod\n",
}

#: (name, content, the code of the complaint; "" if the file is taken, and must then be harmless).
HOSTILE: tuple[tuple[str, bytes, str], ...] = (
    # Names that want out.
    ("../../x.png", PNG, ""),
    ("..\\..\\x.png", PNG, ""),
    ("/etc/passwd", PNG, "extension"),
    ("/etc/cron.d/x.png", PNG, ""),
    ("C:\\Windows\\win.png", PNG, ""),
    ("\\\\server\\share\\x.png", PNG, ""),
    ("....//....//x.png", PNG, ""),
    ("%2e%2e%2fx.png", PNG, ""),
    ("..%c0%afx.png", PNG, ""),
    ("x.png/.", PNG, ""),
    (".", PNG, "extension"),
    ("..", PNG, "extension"),
    ("/", PNG, "extension"),
    ("~root/x.png", PNG, ""),
    ("file:///x.png", PNG, ""),
    # Names that want to be something else.
    ("evil.html\0.pdf", PDF, ""),
    ("evil.html\0.pdf", HTML, "signature"),
    ("x.svg;.png", PNG, ""),
    ("x.svg;.png", SVG, "signature"),
    ("x.html.pdf", PDF, ""),
    ("x.html.pdf", HTML, "signature"),
    ("x.php.png", PNG, ""),
    ("x.pdf.exe", PDF, "extension"),
    ("x.pdf .exe", PDF, "extension"),
    ("x.png::$DATA", PNG, "extension"),
    ("x.png:evil.html", PNG, "extension"),
    ("x\u202egnp.exe", PNG, "extension"),
    ("x\u202efdp.png", PNG, ""),
    ("x\u200b.png", PNG, ""),
    ("x．html", HTML, "extension"),
    ("x.png\u2028.html", HTML, "extension"),
    ("x.p\u200dng", PNG, ""),
    ("x.svg", SVG, "extension"),
    ("x.html", HTML, "extension"),
    ("x.xhtml", HTML, "extension"),
    ("x.swf", b"CWS\x0a", "extension"),
    ("x.hta", HTML, "extension"),
    ("x.desktop", b"[Desktop Entry]\n", "extension"),
    (".htaccess", b"AddType text/html .png\n", "extension"),
    ("web.config", b"<configuration/>", "extension"),
    ("x", PNG, "extension"),
    ("x.", PNG, "extension"),
    # Names that break headers, terminals and file systems.
    ('x"; filename="evil.html.png', PNG, ""),
    ("x.png\r\nSet-Cookie: a=b", PNG, "extension"),
    ("x\r\nContent-Type: text_html\r\n\r\n.png", PNG, ""),
    ("x\x1b[2J\x07.png", PNG, ""),
    ("CON.png", PNG, ""),
    ("aux.tar.png", PNG, ""),
    ("LPT1.png", PNG, ""),
    (".png", PNG, ""),
    ("-rf.png", PNG, ""),
    ("$(id)`id`|id.png", PNG, ""),
    ("=cmd|' /C calc'!A1.png", PNG, ""),
    ("x" * 300 + ".png", PNG, ""),
    ("🎉" * 300 + ".png", PNG, ""),
    ("x." + "png" * 100, PNG, "extension"),
    ("\ud800x.png", PNG, ""),
    # Contents that are something else, or two things at once.
    ("x.png", HTML, "signature"),
    ("x.gif", JPEG, "signature"),
    ("x.jpg", b"MZ\x90\x00", "signature"),
    ("x.pdf", b"\n" * 2000 + PDF, "signature"),
    ("x.pdf", PDF + ZIP, ""),
    ("x.gif", GIF + ZIP, ""),
    ("x.png", PNG + HTML, ""),
    ("x.txt", HTML, ""),
    ("x.txt", PNG, "signature"),
    ("x.txt", b"MZ\x90\x00\x03", "signature"),
    ("x.log", b"\x7fELF\x02\x01\x01\x00", "signature"),
    ("x.csv", b"=HYPERLINK(0)\n", ""),
    ("x.webm", b"\x1aE\xdf\xa3\x9fB\x82\x88matroska", "signature"),
    ("x.webp", AVI, "signature"),
    ("x.mp4", b"MZ\x90\x00ftypisom" + bytes(20), "signature"),
    ("x.mov", b"<svgmoov" + SVG, "signature"),
    ("x.png", b"", "empty"),
)
