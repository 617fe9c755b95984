"""What each libvirt accepts, and what its guests end in when they panic.

Data goes one way, from the connection to the table:

`libvirt_session`       a connection to libvirt whose calls have a deadline
`libvirt_questions`     the words that a libvirt is asked about, and the XML that asks
`guest_driver`          what differs between drivers of libvirt: a protocol
`qemu_guests`           guests of QEMU, which panic by a monitor command
`xen_guests`            guests of Xen, which crash by themselves; `xen_images` has what they run
`guest_drivers`         chooses the one behind a connection
`asked_documents`       asks libvirt which documents it accepts; nothing is defined
`started_guest`         a guest, and the log of what happened to it
`observed_guests`       starts guests, lets them panic, and logs what libvirt and its driver report
`guest_files`           reads the format of these guests' core dumps, and removes their dumps and logs
`libvirt_conversation`  everything that was asked and logged
`libvirt_record`        the record, which is also its JSON form
`record_from_libvirt`   makes a record from a conversation; pure
`collect_libvirt`       asks one libvirt, and writes its record
`libvirt_files`         a folder of records
`libvirt_names`         libvirt's names of states, events and actions
`end_words`             what a guest ended in, in words; pure
`libvirt_table`         records side by side; pure
"""
