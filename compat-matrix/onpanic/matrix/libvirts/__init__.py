"""What each libvirt accepts, and what its guests end in when they panic.

Data goes one way, from the connection to the table:

`libvirt_session`       a connection to libvirt whose calls have a deadline
`libvirt_questions`     the words, models and guests that a libvirt is asked about, and their XML
`asked_documents`       asks libvirt which documents it accepts; nothing is defined
`observed_guests`       starts guests, lets them panic, and logs what libvirt and QEMU report
`guest_files`           reads the format of these guests' core dumps, and removes their dumps and logs
`libvirt_conversation`  everything that was asked and logged
`libvirt_record`        the record, which is also its JSON form
`record_from_libvirt`   makes a record from a conversation; pure
`collect_libvirt`       asks one libvirt, and writes its record
`libvirt_files`         a folder of records
`libvirt_names`         libvirt's names of states, events and actions
`libvirt_table`         records side by side; pure
"""
