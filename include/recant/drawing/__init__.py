"""Pictures of directed graphs: Mermaid and Graphviz text, SVG, and an HTML page that stands alone.

Offers a graph of labelled nodes, folding what is alike, and four ways to write it down. Kept out: what the nodes mean;
and any program or address outside: nothing is started, and no page asks the network for anything. All text in a node
may come from anywhere, and is shown as text in every form.
"""

from __future__ import annotations

from recant.drawing.dot import to_dot
from recant.drawing.folding import fold
from recant.drawing.html import to_html
from recant.drawing.mermaid import to_mermaid
from recant.drawing.picture import Arrow, Box, Picture
from recant.drawing.svg import to_svg

__all__ = ["Arrow", "Box", "Picture", "fold", "to_dot", "to_html", "to_mermaid", "to_svg"]
