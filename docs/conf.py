"""Sphinx settings: Markdown pages through MyST, nothing fetched from outside when built or read."""

project = "automtl"
project_copyright = "the automtl contributors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_custom_sections = [("Shape", "params_style")]
exclude_patterns = ["_build"]
myst_heading_anchors = 3  # links such as errors.md#plugins
html_theme = "alabaster"  # its files are all local
html_theme_options = {
    "description": "Architecture search for multi-task recommenders",
    "show_powered_by": False,
}
html_show_sourcelink = False
