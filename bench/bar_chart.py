"""The result of peers.py as a plot: milliseconds a frame, a bar for each runtime and form."""

import xml.sax.saxutils

WIDTH, ROW, LABEL, GAP = 860, 17, 290, 34
COLOURS = {"libqmd": "#c1440e", "INT8": "#4878a8", "FP32": "#9a9a9a", "BF16": "#7f9a7f"}


def panels(result):
    """The cells that are drawn: one thread, batch 1 and the largest, of 68 pixels or the largest size."""
    sides = {row["side"] for row in result["rows"]}
    side = 68 if 68 in sides else max(sides)
    rows = [row for row in result["rows"] if row["side"] == side and row["threads"] == min(r["threads"] for r in result["rows"])]
    batches = sorted({row["batch"] for row in rows})
    for batch in ([1, 32] if {1, 32} <= set(batches) else batches[:2]):
        cell = sorted((row for row in rows if row["batch"] == batch), key=lambda row: row["ms"])
        if cell:
            yield f"{side} x {side} pixels, batch {batch}, {cell[0]['threads']} thread: milliseconds a frame", cell


def bar(row, y, scale):
    kind = "libqmd" if row["runtime"] == "libqmd" else row["form"].split()[0]
    label = f"{row['runtime']} {row['form']}{'' if row['runtime'] == 'libqmd' or not row['collapsed'] else ', collapsed'}"
    width = row["ms"] * scale
    return (f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{xml.sax.saxutils.escape(label)}</text>'
            f'<rect x="{LABEL}" y="{y + 2}" width="{width:.1f}" height="{ROW - 4}" fill="{COLOURS[kind]}"/>'
            f'<text x="{LABEL + width + 6:.1f}" y="{y + 12}">{row["ms"]:.3f}</text>')


def write(path, result):
    body, y = [], 24
    for title, cell in panels(result):
        body.append(f'<text x="8" y="{y}" font-weight="bold">{title}</text>')
        y += 8
        scale = (WIDTH - LABEL - 60) / max(row["ms"] for row in cell)
        for row in cell:
            body.append(bar(row, y, scale))
            y += ROW
        y += GAP
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    body.append(f'<text x="8" y="{y - 8}" fill="#555">{xml.sax.saxutils.escape(result["cpu"] + "; " + versions)}</text>')
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 6}" font-family="sans-serif" '
                    f'font-size="12"><rect width="100%" height="100%" fill="white"/>' + "\n".join(body) + "</svg>\n")
