"""The documentation as a site: what Sphinx reads is put together from the checkout.

The modules, in the direction of imports::

    site_layout      which page of the checkout is which page of the site
    file_pages       pages that show a file of the checkout, or list a folder; for Sphinx
    page_links       links of a page of the checkout, as the site has them
    man_source       a manual page as parts
    man_markdown     a manual page, or a part of one, in Markdown
    command_pages    the manual pages, as pages of the site
    schema_pages     the members of the JSON documents
    api_pages        the public Python packages, from their docstrings
    python_links     links between the public packages, and their signatures; for Sphinx
    contents         links to the sections of the index, and the tables of contents
    navigation       the tree in the sidebar; for Sphinx
    search_words     options in the index of the site; for Sphinx
    signature_lines  signatures over several lines; for Sphinx
    site_source      all that Sphinx reads, in one folder
    site_build       the site in a folder: complete, or not at all
"""
