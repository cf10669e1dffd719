"""The two palettes of a drawing, and the style sheet that lets an SVG change between them.

A palette names a colour by its role. DOT and therefore PNG and PDF hold the colours themselves; in an SVG each role
is a CSS variable, so a page or the reader's system may switch the theme without drawing again.

    >>> role_of("light")["#ffffff"], role_of("dark")[THEMES["dark"]["paper"]]
    ('paper', 'paper')

Tangents are blue and adjoints vermilion, the pair of Okabe and Ito's palette that colour-blind readers tell apart;
nothing depends on colour alone.
"""

from __future__ import annotations

from compgraph.errors import InputError

# Within a theme no two roles share a colour: the SVG's roles are read back from the colours that Graphviz wrote.
_ROLES: dict[str, tuple[str, str]] = {
    # role: (light, dark)
    "paper": ("#ffffff", "#15181d"),
    "ink": ("#1f2328", "#e8eaed"),
    "muted": ("#5f6872", "#9aa4af"),
    "edge": ("#7d8590", "#79838e"),
    "operation": ("#f6f7f8", "#21262c"),
    "operation-line": ("#9ba3ab", "#6b7580"),
    "input": ("#e7f3ee", "#17322a"),
    "input-line": ("#3c8d70", "#5fb595"),
    "output": ("#f3edf7", "#30243a"),
    "output-line": ("#84589c", "#b58fca"),
    "constant": ("#fdfdfc", "#1a1d22"),
    "constant-line": ("#a8a496", "#7f7c70"),
    "scope": ("#eef1f5", "#262d36"),
    "scope-line": ("#5e738c", "#8aa0ba"),
    "frame": ("#fafbfc", "#191d22"),
    "frame-line": ("#d5dae0", "#3a424c"),
    "tangent": ("#0b62a8", "#6cb4ee"),
    "adjoint": ("#b8420a", "#f0915b"),
    "mark": ("#c2185b", "#ff6fa3"),
}
THEMES: dict[str, dict[str, str]] = {
    theme: {role: colours[place] for role, colours in _ROLES.items()} for place, theme in enumerate(("light", "dark"))
}

# By place, what tells the lines of a plot apart: Okabe and Ito's colours, darkened or lightened until they stand out from
# their ground, as (light, dark), and the dashes.
LINES = (
    ("#0b62a8", "#6cb4ee"), ("#b8420a", "#f0915b"), ("#00785a", "#4cc9a0"), ("#9b3f78", "#e69ac6"),
    ("#936200", "#e6b84a"), ("#1f2328", "#f2f4f6"), ("#6a4fc0", "#b3a1f5"), ("#a01c2c", "#ff8589"),
)  # fmt: skip
DASHES = ("", "9 4", "2 3", "10 3 2 3", "16 4", "5 2.5", "10 3 2 3 2 3", "1.5 5")

# Monospaced, because the texts are code, and because a letter is 0.6 em wide in nearly every such font: a box that
# Graphviz measured for one of them fits the one that a browser shows.
FONTS = ("DejaVu Sans Mono", "Menlo", "Consolas", "Liberation Mono", "monospace")


def palette(theme: str) -> dict[str, str]:
    """The colours that DOT gets: "auto" is light where nothing can ask the reader's system."""
    if theme not in ("auto", *THEMES):
        raise InputError(f"theme {theme!r}: it is 'light', 'dark' or 'auto'")
    return THEMES["light" if theme == "auto" else theme]


def role_of(theme: str) -> dict[str, str]:
    """From the colours of a theme to their roles."""
    return {colour: role for role, colour in palette(theme).items()}


def style_sheet() -> str:
    """Both themes as CSS variables, and the classes that use them.

    The root's class says which theme holds: `compgraph-light`, `compgraph-dark` or `compgraph-auto`. A declaration
    in a style sheet beats the attributes that Graphviz writes; viewers without CSS variables fall back to these.
    """

    def variables(theme: str) -> str:
        return "".join(f" --cg-{role}: {colour};" for role, colour in THEMES[theme].items())

    families = ", ".join(f'"{font}"' if " " in font else font for font in FONTS)
    lines = [
        f"svg.compgraph-light, svg.compgraph-auto {{{variables('light')} color-scheme: light; }}",
        f"svg.compgraph-dark {{{variables('dark')} color-scheme: dark; }}",
        f"@media (prefers-color-scheme: dark) {{ svg.compgraph-auto {{{variables('dark')} color-scheme: dark; }} }}",
        "svg.compgraph { max-width: 100%; height: auto; }",
        f"svg.compgraph text {{ font-family: {families}; }}",
    ]
    for role in _ROLES:
        lines.append(f"svg.compgraph .fill-{role} {{ fill: var(--cg-{role}); }}")
        lines.append(f"svg.compgraph .stroke-{role} {{ stroke: var(--cg-{role}); }}")
    return "\n".join(lines)
