"""plot: SVG by hand: bars per work against peers, and cost against connections.

Colours are of the Okabe-Ito palette; a bar is a median, its whisker goes from the least to the most.
"""
COLOURS = {'casgate': '#0072B2', 'haproxy': '#E69F00', 'nginx': '#009E73', 'hitch': '#999999', 'direct': '#CC79A7'}
FONT = 'font-family="sans-serif" font-size="12"'


def svg(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {FONT}>\n'
            f'<rect width="{width}" height="{height}" fill="white"/>\n' + '\n'.join(parts) + '\n</svg>\n')


def text(x, y, words, anchor='middle', extra=''):
    words = str(words).replace('&', '&amp;').replace('<', '&lt;')
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{words}</text>'


def line(x1, y1, x2, y2, colour='#333', extra=''):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {extra}/>'


def legend(names, x, y):
    parts = []
    for name in names:
        parts.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{COLOURS[name]}"/>')
        parts.append(text(x + 17, y, name, 'start'))
        x += 85
    return parts


def bars(title, works, note):
    """works: [(name, {proxy: (median, least, most)})]; each work is scaled to its better peer = 1."""
    names = [name for name in COLOURS if any(name in values for _, values in works)]
    left, top, height, bar = 50, 60, 260, 18
    slot = bar * len(names) + 26
    width = left + slot * len(works) + 20
    scaled = []
    for work, values in works:
        peers = [values[peer][0] for peer in ('haproxy', 'nginx') if peer in values]
        base = min(peers) if peers else values['casgate'][0]
        scaled.append((work, {name: [figure / base for figure in value] for name, value in values.items()}))
    most = max(1.2, max(value[2] for _, values in scaled for value in values.values()))
    most = min(most, 2.5)

    def y_of(ratio):
        return top + height * (1 - min(ratio, most) / most)

    parts = [text(left, 22, title, 'start', 'font-weight="bold"'), *legend(names, left, 44)]
    for step in range(int(most * 4) + 1):
        parts += [line(left, y_of(step / 4), width - 10, y_of(step / 4), '#ddd'),
                  text(left - 6, y_of(step / 4) + 4, f'{step / 4:.2f}', 'end')]
    parts.append(line(left, y_of(1), width - 10, y_of(1), '#333', 'stroke-dasharray="4 3"'))
    for place, (work, values) in enumerate(scaled):
        x = left + 13 + place * slot
        for name in names:
            if name in values:
                median, least, greatest = values[name]
                parts += [f'<rect x="{x}" y="{y_of(median):.1f}" width="{bar - 3}" '
                          f'height="{top + height - y_of(median):.1f}" fill="{COLOURS[name]}"/>',
                          line(x + bar / 2 - 1.5, y_of(least), x + bar / 2 - 1.5, y_of(greatest))]
            x += bar
        parts.append(text(left + 13 + place * slot + bar * len(names) / 2, top + height + 18, work))
    parts += [line(left, top + height, width - 10, top + height),
              text(left, top + height + 42, note, 'start', 'fill="#555"')]
    return svg(width, top + height + 60, parts)


def curves(title, series, note):
    """series: {label: (proxy, dashed, [(connections, µs)])}"""
    from math import log10
    left, top, width, height = 60, 70, 620, 280
    points = [point for _, _, values in series.values() for point in values]
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    most = max(y for _, y in points) * 1.1

    def place(x, y):
        span = log10(high / low) or 1
        return left + width * log10(x / low) / span, top + height * (1 - y / most)

    parts = [text(left, 22, title, 'start', 'font-weight="bold"'),
             *legend(sorted({proxy for proxy, _, _ in series.values()}), left, 48)]
    for step in range(6):
        y = place(low, most * step / 5)[1]
        parts += [line(left, y, left + width, y, '#ddd'), text(left - 6, y + 4, f'{most * step / 5:.0f}', 'end')]
    for x in sorted({x for x, _ in points}):
        parts.append(text(place(x, 0)[0], top + height + 18, x))
    for proxy, dashed, values in series.values():
        path = ' '.join('%.1f,%.1f' % place(x, y) for x, y in values)
        dash = 'stroke-dasharray="5 4"' if dashed else ''
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[proxy]}" stroke-width="2" {dash}/>')
    parts += [line(left, top + height, left + width, top + height), line(left, top, left, top + height),
              text(left, top + height + 42, note, 'start', 'fill="#555"')]
    return svg(left + width + 30, top + height + 60, parts)
