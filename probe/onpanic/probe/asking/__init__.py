"""Asking an emulator: which starts are needed, what each start is asked, and holding the conversations.

Every message becomes part of a `Conversation`.  What to ask next is decided from
observations; facts are read later.
"""
