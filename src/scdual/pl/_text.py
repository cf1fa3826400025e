"""Text in pictures: names as they are, room for them, and lines that do not run out of the picture."""

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

FONT_SIZE = 8  # of names, in points
_LINE = 1.2  # height of a line over the size of the font
_LETTER = 0.6  # width of a letter over the size of the font, on average


def widest(texts: Iterable[str], *, font_size: float = FONT_SIZE) -> float:
    """Return the width of the widest text in inches, 0 of none."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=font_size)
    widths = (text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] for text in texts)
    return max(widths, default=0.0) / 72


def at_most(name: str, value: float) -> str:
    """Return ``name <= value`` as it is read, in one piece that no line is broken within."""
    return f"{name} \N{LESS-THAN OR EQUAL TO} {value:g}".replace(" ", "\N{NO-BREAK SPACE}")


def fit_text(ax: "Axes", *, is_new: bool) -> None:
    """Show every name on the axes as it is, ``$`` included, and break title and labels that are too long.

    Call it when the picture is whole, for it reads the size of the axes.

    Parameters
    ----------
    ax
        The axes.
    is_new
        Whether they are those of a new figure, which is theirs alone: text may reach its edges, and the figure grows by the
        lines that are added.
    """
    from matplotlib.text import Text

    figure = cast("Figure", ax.get_figure(root=True))
    for text in ax.findobj(Text):
        text.set_parse_math(False)
    figure.draw_without_rendering()  # a title or label takes no room from the axes along their edge
    box, points = ax.get_window_extent(), 72 / figure.dpi
    width = box.width
    if is_new:
        middle = (box.x0 + box.x1) / 2
        width = 2 * min(middle, figure.bbox.width - middle)
    more_height = _break(ax.title, width * points) + _break(ax.xaxis.label, width * points)
    more_width = _break(ax.yaxis.label, box.height * points)
    if is_new:
        old_width, old_height = figure.get_size_inches()
        figure.set_size_inches(old_width + more_width, old_height + more_height)
        figure.draw_without_rendering()  # of axes with an aspect the layout is right from the second drawing on


def _break(text: "Text", room: float) -> float:
    """Break each line of a text that is longer than the room, in points; return by how many inches the text grows."""
    size = float(text.get_fontsize())
    lines = text.get_text().split("\n")
    if 72 * widest(lines, font_size=size) <= room:
        return 0.0
    broken = [part for line in lines for part in textwrap.wrap(line, max(int(room / (_LETTER * size)), 8))]
    text.set_text("\n".join(broken))
    return (len(broken) - len(lines)) * _LINE * size / 72
