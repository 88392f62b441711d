"""Line charts as SVG, both axes logarithmic, written by hand: no library has to be installed."""

from math import log10
from xml.sax.saxutils import escape

Points = list[tuple[float, float]]

# Told apart also by people who see colours differently; and the names stand at the lines
COLORS = ("#0b62a4", "#c2570c", "#2a7d4f", "#8a3fa0", "#a3262a", "#5b5b5b")
ROUND = [step * 10.0**power for power in range(-3, 5) for step in (1, 2, 5)]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 340, 56, 150, 48, 48
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
    ' font-family="system-ui, sans-serif" font-size="12">\n'
    '<rect width="100%" height="100%" fill="#fff"/>\n{content}\n</svg>\n'
)
TEXT = '<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{content}</text>'
TITLE = '<text x="56" y="22" font-weight="bold" font-size="15">{}</text>'
GRID = '<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e3e3"/>'
LINE = '<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>'
DOT = '<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}"/>'


class Scale:
    """Where values lie on a chart that holds them all."""

    def __init__(self, series: dict[str, Points]) -> None:
        """Take the bounds: round costs that hold all of them."""
        xs, ys = zip(*(point for points in series.values() for point in points), strict=True)
        below, above = max(each for each in ROUND if each <= min(ys)), max(ys)
        self.sizes = sorted(set(xs))
        self.costs = [each for each in ROUND if below <= each < above]
        self.costs.append(ROUND[ROUND.index(self.costs[-1]) + 1])

    def x(self, value: float) -> float:
        """Return the pixel of a size."""
        return LEFT + share(value, self.sizes) * WIDTH

    def y(self, value: float) -> float:
        """Return the pixel of a cost."""
        return TOP + HEIGHT - share(value, self.costs) * HEIGHT


def share(value: float, scale: list[float]) -> float:
    """Return where a value lies between the ends of a scale, from 0 to 1."""
    first, last = log10(scale[0]), log10(scale[-1])
    return (log10(value) - first) / ((last - first) or 1)


def text(x: float, y: float, content: str, anchor: str = "middle", color: str = "#333") -> str:
    """Return a line of text."""
    return TEXT.format(x=x, y=y, content=escape(content), anchor=anchor, color=color)


def panel(title: str, unit: str, series: dict[str, Points]) -> list[str]:
    """Return the parts of one chart."""
    at = Scale(series)
    parts = [TITLE.format(escape(title)), text(LEFT + WIDTH / 2, TOP + HEIGHT + 40, unit)]
    for cost in at.costs:
        parts.append(GRID.format(left=LEFT, right=LEFT + WIDTH, y=at.y(cost)))
        parts.append(text(LEFT - 8, at.y(cost) + 4, f"{cost:g}", "end"))
    parts += [text(at.x(size), TOP + HEIGHT + 20, f"{size:,.0f}") for size in at.sizes]
    label = float(TOP + HEIGHT + 16)
    colored = zip(COLORS, series.items(), strict=False)
    for color, (name, points) in sorted(colored, key=lambda each: each[1][1][-1][1]):
        dots = [(at.x(size), at.y(cost)) for size, cost in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
        parts.append(LINE.format(points=line, color=color))
        parts += [DOT.format(x=x, y=y, color=color) for x, y in dots]
        label = min(dots[-1][1], label - 16)  # names that would lie on each other move up
        end = f"{name} {points[-1][1]:.2g}"
        parts.append(text(LEFT + WIDTH + 10, label + 4, end, "start", color))
    return parts


def chart(panels: list[tuple[str, str, dict[str, Points]]]) -> str:
    """Return an SVG of charts beside each other: title, unit below, the lines of each."""
    width, height = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM
    content: list[str] = []
    for number, each in enumerate(panels):
        content += [f'<g transform="translate({number * width} 0)">', *panel(*each), "</g>"]
    return SVG.format(width=width * len(panels), height=height, content="\n".join(content))
