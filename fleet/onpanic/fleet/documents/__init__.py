"""Reading the records of many hosts: nothing is left out silently, and equal hosts are one class."""
