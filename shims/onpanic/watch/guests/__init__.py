"""Guests: what can be read from them and done to them, through libvirt or through a QMP monitor."""
