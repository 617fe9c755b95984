"""From subjects to records: which to ask, the processes that ask them, and which records to replace.

`collection`    decides which subjects to ask, and remembers those that are done
`workers`       the pool of processes
`record_maker`  makes and writes one record, in such a process
`replacing`     whether a new record replaces an existing one
`joining`       adds answers of another record of the same build
"""
