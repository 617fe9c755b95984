"""The manual pages, and the completion of shells, written from what ``--help`` prints.

The modules, in the direction of imports::

    parsers          what each subcommand takes, read from its parser
    roff             text as man(7) has it
    surroundings     what no parser knows: environment, files, related pages
    sessions         examples of the documentation
    doc_sections     sections of the documentation
    command_pages    the pages of section 1
    format_pages     the pages of section 5
    completed_words  what completes each argument
    completion_bash, completion_zsh, completion_fish
                     the completion of each shell
"""
