"""The matrix: its types, how it is built from records, and the versions in which an answer holds.

`matrix`       the types, which are also the JSON form
`matrix_file`  reads a ``matrix.json``
`building`     builds a matrix from records
`ranges`       derives ranges of versions
`versions`     orders versions
"""
