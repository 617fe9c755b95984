"""How Sphinx builds the site; tools/docsite says from what."""

from onpanic.core.version import __version__

project = "onpanic"
author = "The onpanic developers"
project_copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "docsite.file_pages",
    "docsite.inline_code",
    "docsite.navigation",
    "docsite.python_links",
    "docsite.search_words",
    "docsite.signature_lines",
]
nitpick_ignore_regex = [("py:.*", ".*")]
default_role = "py:obj"  # a name in single quotes is a link where there is something to link to
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["attrs_inline", "deflist"]
myst_heading_anchors = 4
myst_url_schemes = {"https": None, "mailto": None, "site": "{{path}}", "site-part": "{{path}}#{{fragment}}"}

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
add_module_names = False  # each page is about one package
python_display_short_literal_types = True
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True

smartquotes = False  # two dashes begin an option, and quotes belong to what users type

html_theme = "furo"
html_title = f"onpanic {__version__}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_logo = html_favicon = "static/logo.svg"
html_extra_path = ["extra"]
html_copy_source = False
html_show_sphinx = False
html_domain_indices = False
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "matrix-link.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
templates_path = ["templates"]
# Copying takes the commands of a session, without prompts and output
copybutton_prompt_text = r"\$ |dom0# |> "
copybutton_prompt_is_regexp = True
