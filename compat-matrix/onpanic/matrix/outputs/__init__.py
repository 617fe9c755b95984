"""The matrix for programs and people: ``matrix.json``, ``MATRIX.md`` and ``index.html``.

`output_files`  writes the three files
`markdown`      MATRIX.md
`html_page`     index.html, from the templates, styles and scripts in ``page/``
`cells`         the letter and the note that stand for an answer
"""
