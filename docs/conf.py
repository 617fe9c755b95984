"""How Sphinx builds the site; tools/website.py says from what."""

from onpanic.core.version import __version__

project = "onpanic"
author = "The onpanic developers"
project_copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx_copybutton"]
nitpick_ignore_regex = [("py:.*", ".*")]
default_role = "autolink"  # a name in single quotes is a link where there is something to link to
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
myst_url_schemes = {"https": None, "mailto": None, "site": "{{path}}#{{fragment}}"}

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autosummary_generate = False

smartquotes = False  # two dashes begin an option, and quotes belong to what users type

html_theme = "furo"
html_title = f"onpanic {__version__}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["extra"]
html_copy_source = False
html_show_sphinx = False
templates_path: list[str] = []
copybutton_prompt_text = r"\$ |dom0# |> "
copybutton_prompt_is_regexp = True
