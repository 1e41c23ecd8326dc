"""Panels of bars as a plot: a bar for each runtime and form, as long as its time."""

import xml.sax.saxutils

WIDTH, ROW, LABEL, GAP = 860, 17, 290, 34
COLOURS = {"libqmd": "#c1440e", "INT8": "#4878a8", "FP32": "#9a9a9a", "BF16": "#7f9a7f", "FP16": "#8a6f9e"}


def bar(label, kind, ms, y, scale):
    width = ms * scale
    return (f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{xml.sax.saxutils.escape(label)}</text>'
            f'<rect x="{LABEL}" y="{y + 2}" width="{width:.1f}" height="{ROW - 4}" fill="{COLOURS[kind]}"/>'
            f'<text x="{LABEL + width + 6:.1f}" y="{y + 12}">{ms:.3f}</text>')


def write(path, panels, note):
    """panels: (title, bars), a bar (label, one of COLOURS, ms). The note stands below them."""
    body, y = [], 24
    for title, bars in panels:
        bars = list(bars)
        body.append(f'<text x="8" y="{y}" font-weight="bold">{title}</text>')
        y += 8
        scale = (WIDTH - LABEL - 60) / max(ms for _, _, ms in bars)
        for label, kind, ms in bars:
            body.append(bar(label, kind, ms, y, scale))
            y += ROW
        y += GAP
    body.append(f'<text x="8" y="{y - 8}" fill="#555">{xml.sax.saxutils.escape(note)}</text>')
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 6}" font-family="sans-serif" '
                    f'font-size="12"><rect width="100%" height="100%" fill="white"/>' + "\n".join(body) + "</svg>\n")
