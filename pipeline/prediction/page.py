"""One HTML page that shows all predictions: no scripts, nothing from the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from pipeline.prediction.outputs import KEYS, colour

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
* { box-sizing: border-box; }
body {
  font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1400px; padding: 1.5rem;
}
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.facts { margin: .25rem 0 1.5rem; opacity: .75; }
.grid {
  display: grid; gap: 1.25rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 280px), 1fr));
}
figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.picture { position: relative; display: block; aspect-ratio: 1; background: var(--soft); }
.picture img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }
.picture img + img { transition: opacity .15s; }
.picture:hover img + img, .picture:focus img + img { opacity: 0; }
figcaption { padding: .6rem .8rem .8rem; }
figcaption h3 { font-size: 1rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
ul.people { list-style: none; margin: 0; padding: 0; }
ul.people li { display: flex; align-items: center; gap: .6rem; padding: .2rem 0; }
ul.people img {
  width: 56px; height: 56px; border-radius: 6px; background: #fff; border: 1px solid var(--line);
}
.dot { width: .8rem; height: .8rem; border-radius: 50%; flex: none; }
.table { overflow-x: auto; }
table { border-collapse: collapse; }
td {
  text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0;
  border-bottom: 1px solid var(--line);
}
code { font-family: ui-monospace, monospace; }
"""


@dataclass(frozen=True)
class Card:
    """One picture of the page.

    Attributes:
        name: of the picture's file.
        folder: of its outputs, relative to the page.
        people: number of people.
        mesh: suffix of the mesh files.
    """

    name: str
    folder: str
    people: int
    mesh: str


def page(cards: Sequence[Card], skipped: Sequence[tuple[str, str]], facts: Sequence[str]) -> str:
    """Return the page.

    Args:
        cards: the pictures, in order.
        skipped: names of pictures that could not be read, and why.
        facts: short texts for the line below the title.
    """
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Predictions</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
        "<header>\n<h1>Predictions</h1>",
        f'<p class="facts">{escape(" · ".join(facts))}<br>'
        "Point at a picture to see it without the meshes; click to open it.</p>\n</header>",
        f'<main class="grid">\n{"".join(map(_card, cards))}</main>',
    ]
    if skipped:
        rows = "".join(f"<li><code>{escape(name)}</code>: {escape(why)}</li>\n"
                       for name, why in skipped)  # fmt: skip
        parts.append(f"<section>\n<h2>Skipped</h2>\n<ul>\n{rows}</ul>\n</section>")
    parts.append(f"<section>\n{_keys()}</section>\n</body>\n</html>\n")
    return "\n".join(parts)


def _card(card: Card) -> str:
    folder, name = quote(card.folder), escape(card.name, quote=True)
    people = "".join(_person(folder, k, card.mesh) for k in range(card.people))
    return (
        f'<figure>\n<a class="picture" href="{folder}/overlay.png">'
        f'<img src="{folder}/photograph_small.jpg" alt="" loading="lazy">'
        f'<img src="{folder}/overlay_small.jpg" alt="{name} with the meshes" loading="lazy">'
        f'</a>\n<figcaption>\n<h3>{name}</h3>\n<ul class="people">\n{people}</ul>\n'
        "</figcaption>\n</figure>\n"
    )


def _person(folder: str, k: int, mesh: str) -> str:
    base = f"{folder}/person{k + 1}"
    return (
        f'<li><img src="{base}_side.png" alt="person {k + 1} from the side" loading="lazy">'
        f'<span class="dot" style="background: rgb{colour(k)}"></span>'
        f'<span>person {k + 1}: <a href="{base}{mesh}">mesh</a>, '
        f'<a href="{base}.npz">parameters</a></span></li>\n'
    )


def _keys() -> str:
    rows = "".join(f"<tr><td><code>{escape(key)}</code></td><td>{escape(text)}</td></tr>\n"
                   for key, text in KEYS.items())  # fmt: skip
    return (
        "<h2>What the files hold</h2>\n"
        "<p>Meshes: metres, y up, each about its own origin. Parameters (<code>.npz</code>), "
        "camera frame x right, y down, z forward:</p>\n"
        f'<div class="table"><table>\n{rows}</table></div>\n'
    )
