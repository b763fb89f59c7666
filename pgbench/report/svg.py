"""Figures as parts of a page: SVG whose text stays text, and the letters that it needs."""

import base64
import io
import re
from collections.abc import Iterable
from html import escape, unescape
from pathlib import Path

import matplotlib

FACES = {"normal": "DejaVuSans.ttf", "italic": "DejaVuSans-Oblique.ttf"}
"""Files of the faces that figures are set in, which come with matplotlib."""

_TEXT = re.compile(r"<t(?:ext|span)[^>]*>([^<]*)")
_SLANTED = re.compile(r"font(?:-style)?:[^;\"]*(?:italic|oblique)")


def inline(svg: bytes, name: str, description: str) -> str:
    """An SVG file as an element of a page, which may hold others: ids begin with its name."""
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    label = f'<svg role="img" aria-label="{escape(description)}" '
    return text.replace("<svg ", label, 1)


def font_faces(figures: Iterable[str]) -> str:
    """CSS that brings the letters of figures, so that they look alike on every machine."""
    every = "".join(figures)
    letters = "".join(sorted({*unescape("".join(_TEXT.findall(every)))}))
    slanted = bool(_SLANTED.search(every))
    faces = [style for style in FACES if letters and (style == "normal" or slanted)]
    return "\n".join(_face(style, letters) for style in faces)


def _face(style: str, letters: str) -> str:
    data = base64.b64encode(_subset(FACES[style], letters)).decode()
    source = f"url(data:font/woff;base64,{data}) format('woff')"
    return f"@font-face {{ font-family: 'DejaVu Sans'; font-style: {style}; src: {source}; }}"


def _subset(file: str, letters: str) -> bytes:
    """A font of these letters alone."""
    # Only who writes a page needs it, and not the processes that draw.
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    options = Options(layout_features=["kern"], hinting=False, notdef_outline=True)
    options.drop_tables += ["FFTM"]
    font = TTFont(Path(matplotlib.get_data_path(), "fonts", "ttf", file), recalcTimestamp=False)
    subsetter = Subsetter(options)
    subsetter.populate(text=letters)
    subsetter.subset(font)
    font.flavor = "woff"
    made = io.BytesIO()
    font.save(made)
    return made.getvalue()
