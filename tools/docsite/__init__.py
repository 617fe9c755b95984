"""The documentation as a site: what Sphinx reads is put together from the checkout.

The modules, in the direction of imports::

    site_layout      which page of the checkout is which page of the site
    file_pages       pages that show a file of the checkout, or list a folder
    page_links       links of a page of the checkout, as the site has them
    command_pages    the manual pages, as pages of the site
    api_pages        the public Python packages, from their docstrings
    contents         the tables of contents, from the index
    site_source      all of it in one folder
"""
